#include "protect/time_text.h"

#include <array>
#include <cmath>
#include <ctime>

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

std::tm local(WallTime time) {
  const std::time_t seconds =
      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return parts;
}

std::string formatted(const std::tm& parts, const char* format) {
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

bool same_day(const std::tm& left, const std::tm& right) {
  return left.tm_year == right.tm_year && left.tm_yday == right.tm_yday;
}

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

std::string seconds_text(double seconds) {
  if (seconds < 9.95) {
    return fmt::format("{:.1f} s", seconds);
  }
  return span_text(std::chrono::seconds(std::llround(std::min(seconds, 9e9))));
}

std::string ago_text(std::chrono::nanoseconds span) {
  return span < std::chrono::seconds(1) ? "just now" : span_text(span) + " ago";
}

std::string instant_text(WallTime time, WallTime now) {
  const std::tm parts = local(time);
  return formatted(parts, same_day(parts, local(now)) ? "%H:%M:%S %Z" : "%Y-%m-%d %H:%M:%S %Z");
}

std::string due_text(WallTime time, WallTime now) {
  const std::tm parts = local(time);
  if (same_day(parts, local(now))) {
    return formatted(parts, "today %H:%M");
  }
  std::tm tomorrow = local(now);
  tomorrow.tm_mday += 1;
  tomorrow.tm_hour = 12;
  tomorrow.tm_isdst = -1;
  std::mktime(&tomorrow);
  return formatted(parts, same_day(parts, tomorrow) ? "tomorrow %H:%M" : "%a %Y-%m-%d %H:%M");
}

}  // namespace salvor
