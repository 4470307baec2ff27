#include "model/duration_text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace salvor {
namespace {

struct Unit {
  int64_t seconds;
  const char* one;
  const char* many;
};
constexpr std::array<Unit, 4> kUnits{
    {{86400, "day", "days"}, {3600, "h", "h"}, {60, "min", "min"}, {1, "s", "s"}}};
constexpr int64_t kDaysFrom = 48 * 3600;

std::string one_unit(int64_t count, const Unit& unit) {
  return fmt::format("{} {}", count, count == 1 ? unit.one : unit.many);
}

}  // namespace

std::string span_text(std::chrono::nanoseconds span) {
  const int64_t seconds = std::chrono::floor<std::chrono::seconds>(span).count();
  for (size_t i = 0; i + 1 < kUnits.size(); ++i) {
    const Unit& unit = kUnits.at(i);
    if (seconds < (i == 0 ? kDaysFrom : unit.seconds)) {
      continue;
    }
    const Unit& finer = kUnits.at(i + 1);
    const int64_t whole = seconds / unit.seconds;
    const int64_t rest = seconds % unit.seconds / finer.seconds;
    // Hours beside many days say nothing any more.
    const bool both = rest > 0 && (i > 0 || whole < 7);
    return one_unit(whole, unit) + (both ? " " + one_unit(rest, finer) : "");
  }
  return one_unit(std::max<int64_t>(seconds, 0), kUnits.back());
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) {
    return "?";
  }
  if (seconds < 0) {
    return "-" + duration_text(-seconds);
  }
  if (seconds < 9.95) {
    return fmt::format("{:.1f} s", seconds);
  }
  if (seconds > 1e9) {
    return "more than 30 years";
  }
  return span_text(std::chrono::seconds(std::llround(seconds)));
}

}  // namespace salvor
