// What a step gave, as the journal keeps it: what is in memory must be what a later process reads.
#pragma once

#include "plan/step.h"

namespace salvor::plan {

// Without secrets, as text, at most 8 KiB.
[[nodiscard]] std::string kept_text(const Secrets& secrets, std::string_view text);
// The same for everything; an output may have 64 KiB, all of them together 256 KiB.
[[nodiscard]] StepResult kept_result(const Secrets& secrets, StepResult result);

}  // namespace salvor::plan
