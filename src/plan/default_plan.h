// The plan of an application that has written none: every source brought back, side by side.
#pragma once

#include <string>
#include <vector>

#include "model/plan_spec.h"

namespace salvor::plan {

inline constexpr const char* kDefaultPlan = "recover";

// Parameter `point` (latest). With `restores` each source is restored; with `checks` it is checked,
// in drills only: after a production restore nothing has started the store yet.
[[nodiscard]] PlanSpec default_plan(const std::vector<std::string>& sources, bool restores = true);

}  // namespace salvor::plan
