// Fetches and writes one window of files (see restorer.h).
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "base/buffer_pool.h"
#include "base/context.h"
#include "base/memory_budget.h"
#include "base/task.h"
#include "connector/files/files_target.h"
#include "engine/restore/file_writer.h"
#include "engine/restore/restore_file.h"
#include "engine/restore/restore_options.h"
#include "engine/restore/restore_plan.h"
#include "engine/restore/restore_progress.h"
#include "repo/repository.h"

namespace salvor {

// Works on its own threads inside. One window is collected while the one before is restored: `add`,
// `drop_last`, `full`, `worth_starting` and `begin` belong to the thread that collects, `run` may
// be called by another, but `begin` only before or after it.
class RestoreWindow {
 public:
  RestoreWindow(const Context& context, Repository& repository, FilesTarget& target,
                const RestoreOptions& options, RestoreProgress& progress);
  ~RestoreWindow();

  // `file.existing` tells whether it may be updated in place. Its size and matches are found out
  // here.
  RestoreFile& add(Node node, std::shared_ptr<RestoreDirectory> directory);
  // The last added file is not to be restored after all.
  void drop_last() { collected_.pop_back(); }
  [[nodiscard]] bool full() const;
  // Enough to keep all processors busy for a while.
  [[nodiscard]] bool worth_starting() const;
  // What was collected is what `run` restores next.
  void begin();
  // Restores all, and verifies if asked to.
  void run();

 private:
  class Worker;
  // Blobs of a file that is in the target, which one thread compares.
  struct Section {
    RestoreFile* file = nullptr;
    size_t begin = 0;
    size_t end = 0;
    uint64_t offset = 0;  // of the first in the file
    std::vector<bool> matches = {};
    bool readable = false;
  };

  void compare_existing();
  void divide(RestoreFile& file, std::deque<Section>& sections) const;
  void compare(Section& section, Buffer& buffer);
  [[nodiscard]] static bool must_be_replaced(const RestoreFile& file);
  [[nodiscard]] bool read_and_compare(Section& section, int fd, Buffer& buffer);
  [[nodiscard]] uint32_t content_length(const BlobId& blob) const {
    return repository_.index().content_length({BlobType::kData, blob}).value_or(0);
  }
  void make_plan(RestorePlan& plan, std::vector<RestoreFile*>& unwritten);
  void count_dry_run();
  void fetch(const RestorePlan& plan);
  void finish_unwritten(const std::vector<RestoreFile*>& files);
  void verify();
  void verify(RestoreFile& file, Buffer& buffer);
  void report(const RestoreFile& file, const char* operation, const Error& error);
  // Runs `work(item, scratch)` for each of `count` items on all threads.
  void for_each(size_t count, const std::function<void(size_t item, Buffer& scratch)>& work);

  const Context& context_;
  Repository& repository_;
  FilesTarget& target_;
  const RestoreOptions& options_;
  RestoreProgress& progress_;
  MemoryBudget budget_;
  BufferPool buffers_;
  ThreadPool pool_;
  std::deque<RestoreFile> files_;      // being restored
  std::deque<RestoreFile> collected_;  // next
  size_t collected_blobs_ = 0;
  uint64_t collected_bytes_ = 0;
};

}  // namespace salvor
