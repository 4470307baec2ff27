// Running totals of a backup; the terminal reads them a few times a second.
#pragma once

#include <atomic>
#include <cstdint>

namespace salvor {

struct BackupProgress {
  std::atomic<uint64_t> files_new = 0;
  std::atomic<uint64_t> files_changed = 0;
  std::atomic<uint64_t> files_unmodified = 0;
  std::atomic<uint64_t> dirs_new = 0;
  std::atomic<uint64_t> dirs_changed = 0;
  std::atomic<uint64_t> dirs_unmodified = 0;
  std::atomic<uint64_t> bytes_done = 0;  // of files that are finished or being read
  std::atomic<uint64_t> errors = 0;  // items left out, vanished, or changed while they were read

  [[nodiscard]] uint64_t files_done() const { return files_new + files_changed + files_unmodified; }
};

}  // namespace salvor
