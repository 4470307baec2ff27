// Tokens that services give out for a while, kept and renewed.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "base/context.h"
#include "base/secret.h"

namespace salvor {

struct AccessToken {
  Secret value;
  std::optional<WallTime> expires;
  bool renewable = true;  // fetching again gives another
};

// Thread-safe; others wait while one fetches. Tokens are fetched again five minutes before they
// expire; when that fails, the old one is used as long as it lasts.
class AccessTokenCache {
 public:
  using Fetch = std::function<AccessToken(const Context&)>;
  // `fetch` may throw, and is never called by two threads at once.
  explicit AccessTokenCache(Fetch fetch) : fetch_(std::move(fetch)) {}

  [[nodiscard]] Secret get(const Context& context);
  // The server has refused this token: the next `get` fetches another. False when that is not
  // possible.
  [[nodiscard]] bool renew(const Secret& refused);

 private:
  const Fetch fetch_;
  std::mutex mutex_;
  std::optional<AccessToken> current_;
  bool stale_ = false;
};

}  // namespace salvor
