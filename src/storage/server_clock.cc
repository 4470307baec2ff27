#include "storage/server_clock.h"

#include "base/format.h"

namespace salvor {
namespace {

constexpr auto kTolerated = std::chrono::minutes(10);
constexpr auto kPrompt = std::chrono::minutes(1);

// Other replies may be those of a proxy, or were kept by one.
bool is_its_own(const HttpResponse& reply) {
  return (reply.success() || reply.status == 401 || reply.status == 403) && !reply.header("age");
}

}  // namespace

void ServerClock::learn(const Context& context, const HttpResponse& reply,
                        std::chrono::nanoseconds took) {
  const auto date = reply.header("date");
  const auto time = date ? parse_http_date(*date) : std::nullopt;
  if (!is_its_own(reply) || took > kPrompt) {
    return;
  }
  known_ = true;
  if (!time) {
    return;
  }
  const auto offset = *time - context.clock.now();
  const bool agree = std::chrono::abs(offset) < kTolerated;
  {
    const std::scoped_lock lock(mutex_);
    if (std::chrono::abs(offset - offset_) < kTolerated) {
      return;
    }
    offset_ = agree ? std::chrono::nanoseconds(0) : offset;
  }
  if (!agree) {
    context.events.on(Warning{"this machine's clock differs from that of " + printable(server_) +
                                  " by more than 10 minutes; the server's time is used",
                              "Set the clock (NTP)."});
  }
}

std::chrono::nanoseconds ServerClock::offset() const {
  const std::scoped_lock lock(mutex_);
  return offset_;
}

bool ServerClock::differs_from(std::chrono::nanoseconds used) const {
  return std::chrono::abs(offset() - used) >= kTolerated;
}

}  // namespace salvor
