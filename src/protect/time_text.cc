#include "protect/time_text.h"

#include <ctime>

#include "model/duration_text.h"

namespace salvor {
namespace {

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

}  // namespace

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
