#include "model/utc_text.h"

#include <fmt/format.h>

namespace salvor {
namespace {

struct Parts {
  std::chrono::year_month_day day;
  std::chrono::hh_mm_ss<std::chrono::seconds> clock;
};

Parts parts_of(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  return {std::chrono::year_month_day(day), std::chrono::hh_mm_ss(seconds - day)};
}

unsigned digits(std::string_view text, size_t at, size_t count) {
  unsigned value = 0;
  for (const char c : text.substr(at, count)) {
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

}  // namespace

std::string utc_date(WallTime time) {
  const Parts parts = parts_of(time);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(parts.day.year()),
                     static_cast<unsigned>(parts.day.month()),
                     static_cast<unsigned>(parts.day.day()));
}

std::string utc_clock(WallTime time) {
  const Parts parts = parts_of(time);
  return fmt::format("{:02}:{:02}:{:02}", parts.clock.hours().count(),
                     parts.clock.minutes().count(), parts.clock.seconds().count());
}

std::string utc_text(WallTime time) {
  return utc_date(time) + " " + utc_clock(time) + " UTC";
}

std::string rfc3339_utc(WallTime time) {
  return utc_date(time) + "T" + utc_clock(time) + "Z";
}

std::string compact_utc(WallTime time) {
  std::string text = rfc3339_utc(time);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

std::optional<WallTime> parse_compact_utc(std::string_view text) {
  // 20261121T080005Z
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') {
    return {};
  }
  for (size_t i = 0; i < text.size(); ++i) {
    if (i != 8 && i != 15 && (text[i] < '0' || text[i] > '9')) {
      return {};
    }
  }
  const std::chrono::year_month_day day{std::chrono::year(static_cast<int>(digits(text, 0, 4))),
                                        std::chrono::month(digits(text, 4, 2)),
                                        std::chrono::day(digits(text, 6, 2))};
  const int year = static_cast<int>(day.year());
  if (!day.ok() || year < 1700 || year > 2250) {
    return {};
  }
  return WallTime(std::chrono::sys_days(day)) + std::chrono::hours(digits(text, 9, 2)) +
         std::chrono::minutes(digits(text, 11, 2)) + std::chrono::seconds(digits(text, 13, 2));
}

int utc_year(WallTime time) {
  return static_cast<int>(parts_of(time).day.year());
}

unsigned utc_month(WallTime time) {
  return static_cast<unsigned>(parts_of(time).day.month());
}

}  // namespace salvor
