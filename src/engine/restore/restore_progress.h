// Counters of a running restore, for progress displays.
#pragma once

#include <atomic>
#include <cstdint>

namespace salvor {

// Thread-safe. "Files" are entries of any type, as in restic's output; bytes are of regular files'
// content. Totals grow while the snapshot's trees are read.
struct RestoreProgress {
  std::atomic<uint64_t> files_total = 0;
  std::atomic<uint64_t> files_restored = 0;
  std::atomic<uint64_t> files_skipped = 0;  // there already, or not to be overwritten
  std::atomic<uint64_t> files_deleted = 0;
  std::atomic<uint64_t> bytes_total = 0;
  std::atomic<uint64_t> bytes_restored = 0;  // accounted for: written, or found right in its place
  std::atomic<uint64_t> bytes_written = 0;   // to the target
  std::atomic<uint64_t> bytes_skipped = 0;   // of skipped files
  std::atomic<uint64_t> files_verified = 0;
  std::atomic<uint64_t> errors = 0;
};

}  // namespace salvor
