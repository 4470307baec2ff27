#include "cli/held_locks.h"

#include <algorithm>

namespace salvor::cli {

void HeldLocks::add(std::stop_token lock) {
  const std::scoped_lock guard(mutex_);
  locks_.push_back(std::move(lock));
}

Error HeldLocks::told(const Error& error, const std::stop_token& asked) const {
  const std::scoped_lock guard(mutex_);
  const bool lost =
      error.code() == ErrorCode::kCancelled && !asked.stop_requested() &&
      std::ranges::any_of(locks_, [](const auto& lock) { return lock.stop_requested(); });
  return lost ? Error(ErrorCode::kLocked, "the lock on the repository was lost",
                      "Somebody removed it (unlock), or it could not be refreshed in time. Run the "
                      "command again." +
                          (error.hint().empty() ? "" : "\n" + error.hint()))
              : error;
}

}  // namespace salvor::cli
