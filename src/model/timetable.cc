#include "model/timetable.h"

#include <algorithm>

namespace salvor {
namespace {

using std::chrono::days;
using std::chrono::seconds;

constexpr days kLookAhead{366 * 2};
// A schedule of every minute has a million runs in that time; a window's gaps come every day.
constexpr size_t kMostRuns = 6'000;

}  // namespace

bool in_window(const TimeWindow& window, const TimeZone& zone, SysSeconds at) {
  if (window.from == window.to) {
    return true;
  }
  const LocalSeconds local = zone.local(at);
  const auto of_day = local - std::chrono::floor<days>(local);
  return window.from < window.to ? of_day >= window.from && of_day < window.to
                                 : of_day >= window.from || of_day < window.to;
}

Timetable::Timetable(Schedule schedule, std::optional<TimeWindow> window, TimeZone zone)
    : schedule_(std::move(schedule)), window_(window), zone_(std::move(zone)) {}

SysSeconds Timetable::begins(SysSeconds due) const {
  if (!window_ || in_window(*window_, zone_, due)) {
    return due;
  }
  const auto today = std::chrono::floor<days>(zone_.local(due));
  for (const auto day : {today, today + days(1)}) {
    const SysSeconds opens = zone_.meaning(LocalSeconds(day) + window_->from).first;
    if (opens > due) {
      return opens;
    }
  }
  return due;
}

SysSeconds Timetable::next(SysSeconds after) const {
  if (window_) {
    const SysSeconds waiting = begins(schedule_.previous(after));
    if (waiting > after) {
      return waiting;
    }
  }
  return begins(schedule_.next(after));
}

SysSeconds Timetable::previous(SysSeconds until) const {
  SysSeconds due = schedule_.previous(until);
  while (begins(due) > until) {
    due = schedule_.previous(due - seconds(1));
  }
  return begins(due);
}

seconds Timetable::longest_gap(SysSeconds from) const {
  seconds longest = schedule_.longest_gap(from);
  if (!window_) {
    return longest;
  }
  SysSeconds at = next(from);
  for (size_t runs = 0; runs < kMostRuns && at < from + kLookAhead; ++runs) {
    const SysSeconds then = next(at);
    longest = std::max<seconds>(longest, then - at);
    at = then;
  }
  return longest;
}

}  // namespace salvor
