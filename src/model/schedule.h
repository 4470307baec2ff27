// When something is due: cron lines and calendar phrases, in a time zone (T1).
//
//   every 15 min                       every 6 h, counted from midnight UTC of 1970
//   hourly, hourly at :20
//   daily 02:00 Europe/Berlin          weekdays 02:00; daily 02:00, 14:00
//   Sun 04:00                          Mon,Thu 04:00; Mon-Fri 22:30; weekly 04:00 (Sunday)
//   first Monday 03:00                 last Fri 22:00; second Tue of Jan, Jul 05:00
//   monthly on 1 02:00                 monthly on 15, last 02:00
//   quarterly first Monday 06:00       January, April, July, October
//   yearly Jan 1 03:00
//   0 2 * * 1-5                        cron, five fields; @daily and the like
//
// Each may end with a zone; otherwise the zone is the caller's. Without a time of day: 00:00. Upper
// and lower case are alike.
//
// Daylight saving: a time that is skipped in spring runs at the first instant after the gap, a time
// that comes twice in autumn runs the first time only. A schedule that runs in every hour of the
// day
// ("hourly", cron with "*" for the hour) follows the hours as they pass: it runs in both.
// "every" knows no daylight saving.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/time_zone.h"

namespace salvor {

// Multiples of `period` since 1970-01-01T00:00:00Z.
struct IntervalRule {
  std::chrono::seconds period;
};

// Bits are counted from the first value of their range. All sets are non-empty.
struct CalendarRule {
  uint64_t minutes = 1;                     // bit m: minute m
  uint32_t hours = 1;                       // bit h: hour h
  std::vector<std::chrono::minutes> times;  // of the day, instead of hours x minutes; ascending
  uint16_t months = 0xfff;                  // bit 0: January
  uint32_t month_days = 0x7fffffff;         // bit 0: the 1st; bit 31: the last
  uint8_t weekdays = 0x7f;                  // bit 0: Sunday
  uint8_t ordinals =
      0;  // bit 0: the first such weekday of the month ... bit 4: the fifth; bit 5: the last
  bool either_day = false;  // cron: month_days or weekdays, where both are restricted
};

// Immutable. Thread-safe.
class Schedule {
 public:
  // Throws Error{kUsage} that names the word it does not understand and shows what is understood.
  // A rule that never runs ("Feb 30") is refused.
  [[nodiscard]] static Schedule parse(std::string_view text, const TimeZone& zone);

  // The first instant after `after` at which it is due.
  [[nodiscard]] SysSeconds next(SysSeconds after) const;
  // The last instant at or before `until` at which it was due.
  [[nodiscard]] SysSeconds previous(SysSeconds until) const;
  // How often it is due between two instants: after `from`, up to and including `to`.
  [[nodiscard]] size_t count(SysSeconds from, SysSeconds to) const;
  // The longest time between two runs, looked at over `years` from `from`: what a recovery point
  // objective is held against.
  [[nodiscard]] std::chrono::seconds longest_gap(SysSeconds from, unsigned years = 2) const;

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const TimeZone& zone() const { return zone_; }

 private:
  Schedule(std::string text, TimeZone zone, std::variant<IntervalRule, CalendarRule> rule)
      : text_(std::move(text)), zone_(std::move(zone)), rule_(std::move(rule)) {}

  std::string text_;
  TimeZone zone_;
  std::variant<IntervalRule, CalendarRule> rule_;
};

// A share of `most` that depends on `name` only, so that a hundred machines with one schedule do
// not start at once and each keeps its minute.
[[nodiscard]] std::chrono::seconds stable_jitter(std::string_view name, std::chrono::seconds most);

}  // namespace salvor
