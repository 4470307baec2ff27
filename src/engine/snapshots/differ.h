// What changed between two trees.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/context.h"
#include "model/node.h"
#include "repo/repository.h"

namespace salvor {

struct DiffCounts {
  uint64_t files = 0;
  uint64_t dirs = 0;
  uint64_t others = 0;
  uint64_t data_blobs = 0;  // that only this side has
  uint64_t tree_blobs = 0;
  uint64_t bytes = 0;  // of those blobs, uncompressed
};

struct DiffStatistics {
  uint64_t changed_files = 0;
  DiffCounts added;
  DiffCounts removed;
};

// `modifier` is restic's: "+", "-", "T" (type), "M" (content), "U" (metadata), "M?" (content
// although the metadata is the same: probably bit rot). Directories' paths end in '/'.
using DiffVisitor = std::function<void(const std::string& path, const std::string& modifier)>;

// The index must be loaded. Trees that are equal are not read twice.
[[nodiscard]] DiffStatistics diff_trees(const Context& context, const Repository& repository,
                                        const BlobId& before, const BlobId& after,
                                        bool show_metadata, const DiffVisitor& on_change);

}  // namespace salvor
