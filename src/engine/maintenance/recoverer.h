// Brings back what no snapshot refers to any more, as long as no prune has removed it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "engine/maintenance/repair.h"
#include "model/snapshot.h"

namespace salvor {

class Repository;

struct RecoverOptions {
  RepairOptions repair;
  // Who and when, for the new snapshot; its tree, paths and tags are set here.
  Snapshot snapshot;
};

struct RecoverResult {
  IndexRepair index;
  std::vector<BlobId> roots;       // directories that no snapshot and no other directory holds
  std::vector<BlobId> unreadable;  // trees that cannot be read: what is below them may be a root
  std::optional<SnapshotId> snapshot;  // nothing when there are no roots
};

// Repairs the index, finds the directories at the top of what is left over, and makes one snapshot
// of path /recover, tagged "recovered", in which each of them is a directory named by its short id,
// as restic's `recover` does. Hold an exclusive lock: a directory that a running backup has just
// stored would be taken for left over. Throws Error; what was there is never changed.
[[nodiscard]] RecoverResult recover(const Context& context, Repository& repository,
                                    const RecoverOptions& options);

}  // namespace salvor
