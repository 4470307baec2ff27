// The cheap proof after each backup (V1): a sample of what the snapshot needs is read again from
// the storage and verified, from the root down.
//
// A draw walks from the root tree to a file, at each directory to one of its entries by chance, and
// reads one blob of that file. So it costs what the depth of the tree costs, however large the
// snapshot is. Several draws are made at a time, and trees are remembered. Files in small
// directories are drawn more often than those in large ones: it is a sample for finding out that a
// backup is bad, not for estimating how bad.
#pragma once

#include <chrono>
#include <string>

#include "base/context.h"
#include "repo/repository.h"

namespace salvor {

struct SampleOptions {
  uint64_t snapshot_bytes = 0;               // content of the snapshot; 0: not known
  double share = 0.01;                       // of them that is read
  uint64_t most_bytes = uint64_t{64} << 20;  // and no more than this
  size_t most_blobs = 512;
  std::chrono::seconds most_time{20};  // no draw is begun after it; the first always is
};

struct SampleResult {
  uint64_t trees = 0;   // read and verified
  uint64_t blobs = 0;   // of files
  uint64_t bytes = 0;   // of those
  std::string failure;  // of the first that did not verify, where the sample ends; empty: none

  [[nodiscard]] bool sound() const { return failure.empty(); }
  // "34 blobs (12.5 MiB) and 61 trees read again"; or what failed.
  [[nodiscard]] std::string text() const;
};

// The index must be loaded. Chance comes from `context.random`. Throws Error{kCancelled} and
// Error{kUnreachable}; all else that goes wrong is the result's `failure`. A snapshot without any
// file content is sound when its trees are.
[[nodiscard]] SampleResult check_sample(const Context& context, const Repository& repository,
                                        const BlobId& root, const SampleOptions& options);

}  // namespace salvor
