// Checks that do not hold, as one sentence.
#pragma once

#include <string>
#include <vector>

#include "model/run_record.h"

namespace salvor::plan {

// Empty when all hold.
[[nodiscard]] std::string failed_checks(const std::vector<CheckResult>& checks);

}  // namespace salvor::plan
