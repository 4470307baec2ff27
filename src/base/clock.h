// Time as the product sees it. Passed in, so that tests decide what time it is.
#pragma once

#include <chrono>

namespace salvor {

using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
using MonotonicTime = std::chrono::steady_clock::time_point;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // The calendar. May jump in either direction.
  [[nodiscard]] virtual WallTime now() const = 0;
  // Never goes back. For durations and time-outs.
  [[nodiscard]] virtual MonotonicTime monotonic() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return std::chrono::system_clock::now(); }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return std::chrono::steady_clock::now();
  }
};

}  // namespace salvor
