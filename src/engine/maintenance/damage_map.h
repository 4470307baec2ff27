// From damaged blobs to the snapshots and files that cannot be restored.
//
// Method: one walk over all trees notes which trees refer to damage and how trees hang together;
// going up from the damaged ones gives the few trees on the way to damage; only these are read
// again, from each snapshot's root down, to spell out the paths.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "engine/maintenance/checker.h"
#include "model/blob.h"

namespace salvor {

class DamageMap {
 public:
  // `finding` is the place in the list that `trace` gets. The first finding for a blob stays.
  void add(const BlobHandle& blob, size_t finding) { damage_.emplace(blob, finding); }
  [[nodiscard]] bool empty() const { return damage_.empty(); }

  // Fills in `snapshots`, `files` and `file_count` of the findings that were added. Damage within
  // a subtree that cannot be read is told as damage to that directory.
  void trace(const Context& context, const Repository& repository,
             std::span<const StoredSnapshot> snapshots, unsigned threads,
             std::vector<Finding>& findings) const;

 private:
  class Trace;
  std::unordered_map<BlobHandle, size_t, BlobHandleHash> damage_;
};

}  // namespace salvor
