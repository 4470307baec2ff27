// When backups begin: a schedule under a policy's window. What becomes due while the window is
// closed begins when it opens, all of it at once.
#pragma once

#include <chrono>
#include <optional>

#include "model/application.h"
#include "model/schedule.h"

namespace salvor {

// Immutable. Thread-safe.
class Timetable {
 public:
  // `zone`: the window's; the schedule has its own. Without a window it is the schedule.
  explicit Timetable(Schedule schedule, std::optional<TimeWindow> window = {},
                     TimeZone zone = TimeZone::utc());

  // When what becomes due at `due` begins.
  [[nodiscard]] SysSeconds begins(SysSeconds due) const;
  // The first beginning after `after`, the last at or before `until`.
  [[nodiscard]] SysSeconds next(SysSeconds after) const;
  [[nodiscard]] SysSeconds previous(SysSeconds until) const;
  // The longest time between two beginnings, looked at from `from` on: over two years, of those of
  // a dense schedule under a window over the first weeks.
  [[nodiscard]] std::chrono::seconds longest_gap(SysSeconds from) const;
  [[nodiscard]] const Schedule& schedule() const { return schedule_; }

 private:
  Schedule schedule_;
  std::optional<TimeWindow> window_;
  TimeZone zone_;
};

// From and to alike: always open.
[[nodiscard]] bool in_window(const TimeWindow& window, const TimeZone& zone, SysSeconds at);

}  // namespace salvor
