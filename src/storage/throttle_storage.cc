#include "storage/throttle_storage.h"

#include <algorithm>

namespace salvor {

void RateLimiter::pass(const Context& context, uint64_t bytes) {
  if (bytes_per_second_ == 0) {
    return;
  }
  const auto share =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(
          static_cast<double>(bytes) / static_cast<double>(bytes_per_second_)));
  std::unique_lock lock(mutex_);
  const MonotonicTime now = context.clock.monotonic();
  free_at_ = std::max(free_at_, now) + share;
  const auto wait = free_at_ - now;
  // Nobody notifies: the wait ends by time or by the stop token.
  wake_.wait_for(lock, context.stop, wait, [] { return false; });
  lock.unlock();
  context.check_stopped();
}

void ThrottleStorage::put(const Context& context, const ObjectName& object,
                          std::span<const ByteView> parts) {
  uint64_t bytes = 0;
  for (const ByteView& part : parts) {
    bytes += part.size();
  }
  upload_.pass(context, bytes);
  base_->put(context, object, parts);
}

void ThrottleStorage::replace_config(const Context& context, ByteView bytes) {
  upload_.pass(context, bytes.size());
  base_->replace_config(context, bytes);
}

Buffer ThrottleStorage::get(const Context& context, const ObjectName& object,
                            uint64_t limit_bytes) {
  Buffer content = base_->get(context, object, limit_bytes);
  download_.pass(context, content.size());
  return content;
}

void ThrottleStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                                MutableBytes out) {
  base_->get_range(context, object, offset, out);
  download_.pass(context, out.size());
}

std::unique_ptr<Storage> with_limits(std::unique_ptr<Storage> base, const BandwidthLimits& limits) {
  return limits.any() ? std::make_unique<ThrottleStorage>(std::move(base), limits)
                      : std::move(base);
}

}  // namespace salvor
