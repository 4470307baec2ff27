// Lengths of time as people read them: on status pages, in reports, in messages.
#pragma once

#include <chrono>
#include <string>

namespace salvor {

// Both: "18 s", "6 min 12 s", "2 h 5 min", "24 h", "3 days 2 h": two units at most; days from 48 h,
// since objectives of a day are written as 24 h; from a week on days alone.

// What something was given, or has lasted so far: cut, not rounded; "0 s" below zero.
[[nodiscard]] std::string span_text(std::chrono::nanoseconds span);
// What was measured, or reckoned: rounded; below ten seconds with a tenth ("0.4 s"). "-5.0 s" below
// zero, "?" when not finite, "more than 30 years" from 1e9 s on.
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace salvor
