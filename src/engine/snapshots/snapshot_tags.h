// Changing the tags of stored snapshots.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/snapshot.h"
#include "repo/lock.h"
#include "repo/repository.h"

namespace salvor {

// Either `set` (replaces all tags; empty: none are left) or `add` and `remove`.
struct TagChange {
  std::optional<std::vector<std::string>> set;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

// Applies it to `snapshot`; false when that changes nothing. Tags keep their order, new ones go to
// the end, none is added twice.
[[nodiscard]] bool apply_tags(Snapshot& snapshot, const TagChange& change);

// Stores `changed` in the place of `old`: the new document is durable before the old one is
// removed, so a crash leaves both, never none. `original` becomes the first id the snapshot had.
// Needs an exclusive lock, which is confirmed before each of the two. Returns the new id.
SnapshotId replace_snapshot(const Context& context, const Repository& repository,
                            const RepositoryLock& lock, const StoredSnapshot& old,
                            Snapshot changed);

}  // namespace salvor
