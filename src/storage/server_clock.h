// What time it is for a server, as far as its replies tell.
//
// Until when an object must not be removed is a date that the server judges by its own clock, and
// that nobody can shorten in some modes: a machine whose clock is months ahead would lock objects
// for months too long, one that is behind too short. Signed requests must carry its time as well.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include "base/context.h"
#include "net/http_client.h"

namespace salvor {

// Thread-safe.
class ServerClock {
 public:
  // `server`: its name, for the warning.
  explicit ServerClock(std::string server) : server_(std::move(server)) {}

  // To be called with every reply; `took`: from when its request began (a long body makes its date
  // an old one). Takes the date of those that come from the server itself, and warns when the
  // clocks turn out to differ.
  void learn(const Context& context, const HttpResponse& reply, std::chrono::nanoseconds took);
  // Whether a reply has come that could be learnt from.
  [[nodiscard]] bool known() const { return known_; }

  // The server's clock minus ours; zero when they differ by less than ten minutes, which servers
  // tolerate (S3 and Azure: 15).
  [[nodiscard]] std::chrono::nanoseconds offset() const;
  [[nodiscard]] WallTime now(const Context& context) const {
    return context.clock.now() + offset();
  }
  // Whether that offset is not the one any more by which a request with `used` was signed: then its
  // time may be why it was refused.
  [[nodiscard]] bool differs_from(std::chrono::nanoseconds used) const;

 private:
  const std::string server_;
  std::atomic<bool> known_ = false;
  mutable std::mutex mutex_;
  std::chrono::nanoseconds offset_{};  // under mutex_
};

}  // namespace salvor
