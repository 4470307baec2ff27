// IANA time zones ("Europe/Berlin"), from the system's time zone files (Debian's tzdata).
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace salvor {

// A reading of a clock on the wall, in seconds since 1970-01-01 00:00:00 on that clock.
using LocalSeconds = std::chrono::local_seconds;
using SysSeconds = std::chrono::sys_seconds;

// What a reading of the wall clock means. In spring some readings never happen, in autumn some
// happen twice.
struct LocalMeaning {
  enum Kind : uint8_t { kOnce, kSkipped, kTwice };
  Kind kind = kOnce;
  SysSeconds first;   // kSkipped: the first instant after the gap
  SysSeconds second;  // of kTwice; otherwise the same as `first`
};

// A value; cheap to copy. Thread-safe.
class TimeZone {
 public:
  // Throws Error{kUsage} for a name that the system does not know (with the nearest one that it
  // does), Error{kFailed} when it has no time zone files.
  [[nodiscard]] static TimeZone named(std::string_view name);
  [[nodiscard]] static TimeZone utc();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] LocalSeconds local(SysSeconds instant) const;
  [[nodiscard]] LocalMeaning meaning(LocalSeconds local) const;

 private:
  TimeZone(std::string name, const void* zone) : name_(std::move(name)), zone_(zone) {}

  std::string name_;
  const void* zone_;  // of the process-wide database, which lives for ever; null: UTC
};

}  // namespace salvor
