#include "storage/access_token.h"

#include "base/error.h"

namespace salvor {
namespace {

constexpr auto kRefreshBefore = std::chrono::minutes(5);

}  // namespace

Secret AccessTokenCache::get(const Context& context) {
  const std::scoped_lock lock(mutex_);
  const WallTime now = context.clock.now();
  const bool expiring = current_ && current_->expires && *current_->expires - kRefreshBefore <= now;
  if (!current_ || expiring || stale_) {
    try {
      current_ = fetch_(context);
      stale_ = false;
    } catch (const Error&) {
      const bool still_good = current_ && !stale_ && current_->expires > now;
      if (!still_good || context.stop.stop_requested()) {
        throw;
      }
    }
  }
  return current_->value;
}

bool AccessTokenCache::renew(const Secret& refused) {
  const std::scoped_lock lock(mutex_);
  if (!current_ || current_->value.reveal() != refused.reveal()) {
    return true;  // another thread has renewed it meanwhile
  }
  if (!current_->renewable) {
    return false;
  }
  stale_ = true;
  return true;
}

}  // namespace salvor
