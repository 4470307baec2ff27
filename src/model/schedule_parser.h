// Reads the phrases and cron lines of schedule.h. Internal to Schedule.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "model/schedule.h"

namespace salvor {

struct ParsedSchedule {
  std::variant<IntervalRule, CalendarRule> rule;
  std::string zone;  // empty: none was given
};

// Throws Error{kUsage}.
[[nodiscard]] ParsedSchedule parse_schedule(std::string_view text);

}  // namespace salvor
