// Large buffers used again and again: fresh memory costs a page fault every 4 KiB, which on virtual
// machines is slower than filling it.
#pragma once

#include <mutex>
#include <vector>

#include "base/bytes.h"

namespace salvor {

// Thread-safe. Keeps at most `keep` unused buffers.
class BufferPool {
 public:
  explicit BufferPool(size_t keep) : keep_(keep) {}

  // An empty buffer, with the capacity that it had when it was given back.
  [[nodiscard]] Buffer take() {
    const std::scoped_lock lock(mutex_);
    if (spare_.empty()) {
      return {};
    }
    Buffer buffer = std::move(spare_.back());
    spare_.pop_back();
    buffer.clear();
    return buffer;
  }

  void give_back(Buffer buffer) {
    const std::scoped_lock lock(mutex_);
    if (spare_.size() < keep_ && buffer.capacity() > 0) {
      spare_.push_back(std::move(buffer));
    }
  }

 private:
  const size_t keep_;
  std::mutex mutex_;
  std::vector<Buffer> spare_;
};

}  // namespace salvor
