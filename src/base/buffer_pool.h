// Large buffers used again and again: fresh memory costs a page fault every 4 KiB, which on virtual
// machines is slower than filling it.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/bytes.h"

namespace salvor {

// Thread-safe. Keeps at most `keep` unused buffers, of each at most `largest` bytes.
class BufferPool {
 public:
  explicit BufferPool(size_t keep, size_t largest = SIZE_MAX) : keep_(keep), largest_(largest) {}

  // An empty buffer; its capacity is that of one that was given back, if there is any.
  [[nodiscard]] Buffer take() {
    const std::scoped_lock lock(mutex_);
    if (spare_.empty()) {
      return {};
    }
    Buffer buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }

  void give_back(Buffer buffer) {
    if (buffer.capacity() == 0) {
      return;
    }
    buffer.clear_keeping(largest_);  // may call the system: not under the lock
    const std::scoped_lock lock(mutex_);
    if (spare_.size() < keep_) {
      spare_.push_back(std::move(buffer));
    }
  }

 private:
  const size_t keep_;
  const size_t largest_;
  std::mutex mutex_;
  std::vector<Buffer> spare_;
};

}  // namespace salvor
