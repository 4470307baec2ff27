#include "base/memory_budget.h"

#include "base/error.h"

namespace salvor {

MemoryBudget::Lease MemoryBudget::acquire(size_t bytes, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const bool granted =
      freed_.wait(lock, stop, [&] { return used_ == 0 || used_ + bytes <= limit_; });
  if (!granted || stop.stop_requested()) {
    throw cancelled();
  }
  used_ += bytes;
  return {this, bytes};
}

size_t MemoryBudget::used_bytes() const {
  const std::scoped_lock lock(mutex_);
  return used_;
}

void MemoryBudget::Lease::release() {
  if (budget_ == nullptr) {
    return;
  }
  {
    const std::scoped_lock lock(budget_->mutex_);
    budget_->used_ -= bytes_;
  }
  budget_->freed_.notify_all();
  budget_ = nullptr;
  bytes_ = 0;
}

}  // namespace salvor
