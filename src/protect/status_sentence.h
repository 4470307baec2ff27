// The answer in one sentence, for the first line of `salvor status` and the dashboard:
// "Recoverable to 04:05:10 CET, 18 s ago; last proven 2 days ago in 6 min 12 s (objective 15 min)."
#pragma once

#include <string>

#include "protect/status.h"

namespace salvor {

[[nodiscard]] std::string status_sentence(const StatusReport& report);

}  // namespace salvor
