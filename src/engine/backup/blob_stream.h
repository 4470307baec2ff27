// Streams a file's content: several blobs are fetched, decoded and verified ahead, on all
// processors, and handed out in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "repo/repository.h"

namespace salvor {

// One consumer thread. Holds at most `ahead` blobs.
class BlobStream {
 public:
  BlobStream(const Context& context, const Repository& repository, unsigned threads,
             size_t ahead = 8);
  ~BlobStream();

  // Starts with another file; what was left of the one before is dropped. `content` must stay until
  // the end is reached.
  void start(std::span<const BlobId> content);
  // The next blob's bytes, valid until the next call; empty at the end. Throws Error{kDamaged}.
  [[nodiscard]] ByteView next();

 private:
  struct Slot {
    Buffer bytes;
    std::exception_ptr error;
    bool done = false;
  };

  void fill();
  void load(const BlobId& id, const std::shared_ptr<Slot>& slot);

  const Context context_;
  const Repository& repository_;
  const size_t ahead_;
  std::span<const BlobId> content_;
  size_t requested_ = 0;
  std::deque<std::shared_ptr<Slot>> slots_;
  Buffer current_;
  std::mutex mutex_;
  std::condition_variable loaded_;
  std::vector<std::unique_ptr<BlobReader>> readers_;  // idle ones
  ThreadPool pool_;
  TaskGroup group_;
};

}  // namespace salvor
