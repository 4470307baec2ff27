// The locks of a run. When one is lost the work under it ends as if somebody had interrupted it:
// here the difference is known, also after the lock itself is gone.
#pragma once

#include <mutex>
#include <stop_token>
#include <vector>

#include "base/error.h"

namespace salvor::cli {

// Thread-safe.
class HeldLocks {
 public:
  // `lock`: RepositoryLock::stop_token.
  void add(std::stop_token lock);
  // `error`; or, where it is an interruption that nobody asked for by `asked`, that a lock was
  // lost, with what `error` advises.
  [[nodiscard]] Error told(const Error& error, const std::stop_token& asked) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::stop_token> locks_;
};

}  // namespace salvor::cli
