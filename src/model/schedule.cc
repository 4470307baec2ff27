#include "model/schedule.h"

#include <algorithm>

#include "base/error.h"
#include "model/schedule_parser.h"

// A calendar rule is worked out one local day at a time: which of its readings of the wall clock
// belong to the day, and what instants they mean. The instants of consecutive days are in order,
// whatever the zone does, so the search stops at the first day that has one beyond the limit.

namespace salvor {
namespace {

using std::chrono::days;
using std::chrono::local_days;
using std::chrono::year_month_day;

constexpr uint32_t kAllHours = 0xffffff;
constexpr int kSearchDays = 366 * 41;  // the rarest: a fifth Monday of February, every 28 years

bool has(uint64_t set, unsigned bit) {
  return (set >> bit & 1U) != 0;
}

bool day_matches(const CalendarRule& rule, local_days day) {
  const year_month_day date(day);
  const auto number = static_cast<unsigned>(date.day());
  const auto month_length = static_cast<unsigned>(
      std::chrono::year_month_day_last(date.year(), date.month() / std::chrono::last).day());
  if (!has(rule.months, static_cast<unsigned>(date.month()) - 1)) {
    return false;
  }
  const bool by_date =
      has(rule.month_days, number - 1) || (has(rule.month_days, 31) && number == month_length);
  const bool by_weekday = has(rule.weekdays, std::chrono::weekday(day).c_encoding()) &&
                          (rule.ordinals == 0 || has(rule.ordinals, (number - 1) / 7) ||
                           (has(rule.ordinals, 5) && number + 7 > month_length));
  return rule.either_day ? by_date || by_weekday : by_date && by_weekday;
}

// Ascending, each once.
std::vector<SysSeconds> due_on(const CalendarRule& rule, const TimeZone& zone, local_days day) {
  std::vector<SysSeconds> due;
  if (!day_matches(rule, day)) {
    return due;
  }
  const bool follows_hours = rule.times.empty() && rule.hours == kAllHours;
  const auto add = [&](std::chrono::minutes time) {
    const LocalMeaning meaning = zone.meaning(LocalSeconds(day) + time);
    due.push_back(meaning.first);
    if (meaning.kind == LocalMeaning::kTwice && follows_hours) {
      due.push_back(meaning.second);
    }
  };
  for (const std::chrono::minutes time : rule.times) {
    add(time);
  }
  for (unsigned hour = 0; rule.times.empty() && hour < 24; ++hour) {
    for (unsigned minute = 0; has(rule.hours, hour) && minute < 60; ++minute) {
      if (has(rule.minutes, minute)) {
        add(std::chrono::hours(hour) + std::chrono::minutes(minute));
      }
    }
  }
  std::ranges::sort(due);
  const auto repeated = std::ranges::unique(due);
  due.erase(repeated.begin(), repeated.end());
  return due;
}

local_days local_day(const TimeZone& zone, SysSeconds instant) {
  return std::chrono::floor<days>(zone.local(instant));
}

std::optional<SysSeconds> next_of(const CalendarRule& rule, const TimeZone& zone,
                                  SysSeconds after) {
  // The day before too: what it skips may come to lie on this one.
  local_days day = local_day(zone, after) - days(1);
  for (int i = 0; i < kSearchDays; ++i, day += days(1)) {
    const std::vector<SysSeconds> due = due_on(rule, zone, day);
    const auto found = std::ranges::upper_bound(due, after);
    if (found != due.end()) {
      return *found;
    }
  }
  return std::nullopt;
}

std::optional<SysSeconds> previous_of(const CalendarRule& rule, const TimeZone& zone,
                                      SysSeconds until) {
  local_days day = local_day(zone, until) + days(1);
  for (int i = 0; i < kSearchDays; ++i, day -= days(1)) {
    const std::vector<SysSeconds> due = due_on(rule, zone, day);
    const auto found = std::ranges::upper_bound(due, until);
    if (found != due.begin()) {
      return *(found - 1);
    }
  }
  return std::nullopt;
}

SysSeconds multiple_until(SysSeconds instant, std::chrono::seconds period) {
  const std::chrono::seconds since = instant.time_since_epoch();
  std::chrono::seconds beyond = since % period;
  if (beyond.count() < 0) {
    beyond += period;
  }
  return instant - beyond;
}

}  // namespace

Schedule Schedule::parse(std::string_view text, const TimeZone& zone) {
  ParsedSchedule parsed = parse_schedule(text);
  Schedule schedule(std::string(text), parsed.zone.empty() ? zone : TimeZone::named(parsed.zone),
                    std::move(parsed.rule));
  const auto* calendar = std::get_if<CalendarRule>(&schedule.rule_);
  if (calendar != nullptr && !next_of(*calendar, TimeZone::utc(), SysSeconds())) {
    throw Error(
        ErrorCode::kUsage, "the schedule \"" + std::string(text) + "\" is never due",
        "There is no such day. For the end of a month, write last day or \"monthly on last\".");
  }
  return schedule;
}

SysSeconds Schedule::next(SysSeconds after) const {
  if (const auto* interval = std::get_if<IntervalRule>(&rule_)) {
    return multiple_until(after, interval->period) + interval->period;
  }
  const auto found = next_of(std::get<CalendarRule>(rule_), zone_, after);
  if (!found) {
    throw Error(ErrorCode::kFailed, "the schedule \"" + text_ + "\" is not due in 40 years");
  }
  return *found;
}

SysSeconds Schedule::previous(SysSeconds until) const {
  if (const auto* interval = std::get_if<IntervalRule>(&rule_)) {
    return multiple_until(until, interval->period);
  }
  const auto found = previous_of(std::get<CalendarRule>(rule_), zone_, until);
  if (!found) {
    throw Error(ErrorCode::kFailed, "the schedule \"" + text_ + "\" was not due in 40 years");
  }
  return *found;
}

size_t Schedule::count(SysSeconds from, SysSeconds to) const {
  if (to <= from) {
    return 0;
  }
  if (const auto* interval = std::get_if<IntervalRule>(&rule_)) {
    return static_cast<size_t>(
        (multiple_until(to, interval->period) - multiple_until(from, interval->period)) /
        interval->period);
  }
  const auto& rule = std::get<CalendarRule>(rule_);
  size_t total = 0;
  SysSeconds last = from;  // a day may end on the instant on which the next one begins
  for (local_days day = local_day(zone_, from) - days(1); day <= local_day(zone_, to) + days(1);
       day += days(1)) {
    for (const SysSeconds due : due_on(rule, zone_, day)) {
      if (due > last && due <= to) {
        ++total;
        last = due;
      }
    }
  }
  return total;
}

std::chrono::seconds Schedule::longest_gap(SysSeconds from, unsigned years) const {
  if (const auto* interval = std::get_if<IntervalRule>(&rule_)) {
    return interval->period;
  }
  const auto& rule = std::get<CalendarRule>(rule_);
  const SysSeconds until = from + days(366) * years;
  SysSeconds last = previous(from);
  std::chrono::seconds longest{0};
  for (local_days day = local_day(zone_, from) - days(1); last < until; day += days(1)) {
    for (const SysSeconds due : due_on(rule, zone_, day)) {
      if (due > last) {
        longest = std::max(longest, due - last);
        last = due;
      }
    }
  }
  return longest;
}

std::chrono::seconds stable_jitter(std::string_view name, std::chrono::seconds most) {
  // FNV-1a, then the mixer of splitmix64: names that differ in one digit must not follow each
  // other.
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
  hash ^= hash >> 31;
  return std::chrono::seconds(
      static_cast<int64_t>(hash % (static_cast<uint64_t>(std::max<int64_t>(most.count(), 0)) + 1)));
}

}  // namespace salvor
