// One limit, in bytes, on what a run holds in memory at a time.
//
// Only the readers at the head of a pipeline take from it and whatever they hand on carries the
// lease along, so a stage further down never waits for memory that only its own progress could
// free: the pipeline cannot deadlock.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <stop_token>
#include <utility>

namespace salvor {

// Thread-safe. Must outlive its leases.
class MemoryBudget {
 public:
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        release();
        budget_ = std::exchange(other.budget_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
      }
      return *this;
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { release(); }

    void release();
    [[nodiscard]] size_t bytes() const { return bytes_; }

   private:
    friend class MemoryBudget;
    Lease(MemoryBudget* budget, size_t bytes) : budget_(budget), bytes_(bytes) {}
    MemoryBudget* budget_ = nullptr;
    size_t bytes_ = 0;
  };

  explicit MemoryBudget(size_t limit_bytes) : limit_(limit_bytes) {}

  // Blocks until `bytes` are free. A request above the whole limit is granted when nothing else is
  // held, so that one oversized item slows a run down instead of stopping it. Throws
  // Error{kCancelled} when the token fires.
  [[nodiscard]] Lease acquire(size_t bytes, const std::stop_token& stop);
  [[nodiscard]] size_t limit_bytes() const { return limit_; }
  [[nodiscard]] size_t used_bytes() const;

 private:
  const size_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable_any freed_;
  size_t used_ = 0;
};

}  // namespace salvor
