// Writes the content of restored files from many threads, and finishes each when its last blob is
// in.
#pragma once

#include <array>
#include <deque>
#include <mutex>

#include "base/context.h"
#include "connector/files/files_target.h"
#include "engine/restore/restore_file.h"
#include "engine/restore/restore_options.h"
#include "engine/restore/restore_progress.h"

namespace salvor {

// Thread-safe. A file that fails is reported once, when it is finished, and keeps its present time,
// so that the next run looks at it again; everything else goes on. Only a full disk stops the run:
// Error{kStorageFull}.
class FileWriter {
 public:
  FileWriter(const Context& context, FilesTarget& target, const RestoreOptions& options,
             RestoreProgress& progress)
      : context_(context), target_(target), options_(options), progress_(progress) {}

  // One of the file's blobs. `last` uses of a file finish it.
  void write(RestoreFile& file, uint64_t offset, ByteView bytes);
  // A blob of the file cannot be had.
  void lose(RestoreFile& file, const Error& error);
  // A file without any blob to write: creates it, or corrects the size, and sets its metadata.
  void finish_unwritten(RestoreFile& file);

 private:
  static constexpr size_t kLocks = 64;
  static constexpr size_t kOpenFiles = 256;

  void write_whole(RestoreFile& file, ByteView bytes);
  [[nodiscard]] SharedFd open(RestoreFile& file);
  void keep_open(RestoreFile& file);
  void forget_oldest();
  void put(RestoreFile& file, int fd, uint64_t offset, ByteView bytes);
  void blob_done(RestoreFile& file);
  void finish(RestoreFile& file);
  void finish_content(RestoreFile& file);
  void complete(RestoreFile& file, int fd);
  void close(RestoreFile& file, UniqueFd fd);
  void check_closed(RestoreFile& file);
  void note_failure(RestoreFile& file, const Error& error);
  void report(RestoreFile& file);
  void succeeded(RestoreFile& file);
  [[nodiscard]] bool may_have_attributes(RestoreFile& file, int directory);
  [[nodiscard]] std::mutex& lock_of(const RestoreFile& file) {
    return locks_[(reinterpret_cast<uintptr_t>(&file) / 64) % kLocks];
  }

  const Context& context_;
  FilesTarget& target_;
  const RestoreOptions& options_;
  RestoreProgress& progress_;
  std::array<std::mutex, kLocks> locks_;
  std::mutex open_mutex_;
  std::deque<RestoreFile*> open_files_;  // oldest first
};

// Calls `piece(offset, length)` for the parts of `bytes` that are not runs of zeros worth a hole
// (whole 4 KiB blocks, counted from `offset` in the file).
void for_each_nonzero(uint64_t offset, ByteView bytes,
                      const std::function<void(size_t begin, size_t length)>& piece);

}  // namespace salvor
