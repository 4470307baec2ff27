// Times as status pages say them.
#pragma once

#include <chrono>
#include <string>

#include "base/clock.h"

namespace salvor {

// "18 s ago"; "just now" below a second, and for what lies ahead.
[[nodiscard]] std::string ago_text(std::chrono::nanoseconds span);

// Instants in the process's zone (TZ), with the zone's name.
// "04:05:10 CET" on the day of `now`, else "2026-11-20 04:05:10 CET".
[[nodiscard]] std::string instant_text(WallTime time, WallTime now);
// "today 04:00", "tomorrow 04:00", "Mon 2026-11-23 04:00"; what is due, so without seconds.
[[nodiscard]] std::string due_text(WallTime time, WallTime now);

}  // namespace salvor
