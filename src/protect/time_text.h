// Times and spans as status pages say them.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.h"

namespace salvor {

// "18 s", "6 min 12 s", "2 h 5 min", "3 days": two units at most, cut, not rounded; days from 48 h.
[[nodiscard]] std::string span_text(std::chrono::nanoseconds span);
// The same of seconds that were measured, rounded; below ten with a tenth: "0.4 s".
[[nodiscard]] std::string seconds_text(double seconds);
// "18 s ago"; "just now" below a second, and for what lies ahead.
[[nodiscard]] std::string ago_text(std::chrono::nanoseconds span);

// Instants in the process's zone (TZ), with the zone's name.
// "04:05:10 CET" on the day of `now`, else "2026-11-20 04:05:10 CET".
[[nodiscard]] std::string instant_text(WallTime time, WallTime now);
// "today 04:00", "tomorrow 04:00", "Mon 2026-11-23 04:00"; what is due, so without seconds.
[[nodiscard]] std::string due_text(WallTime time, WallTime now);

}  // namespace salvor
