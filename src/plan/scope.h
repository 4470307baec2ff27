// Which steps a mode leaves out.
#pragma once

#include <string>

#include "plan/graph.h"

namespace salvor::plan {

// Why the step is not run in this mode; empty: it is. A drill must not touch production: a step
// that acts on the outside runs there only when its settings refer to the target ("${target...}"),
// or when it is said to (`only: drill`, `in-drill: run`).
[[nodiscard]] std::string skip_reason(const PlanNode& node, Mode mode);

// The same of what the plan gives as the step's `undo`, which is judged by its own settings: a step
// that refers to the target may be taken back by a command that does not. Empty also when there is
// none.
[[nodiscard]] std::string undo_skip_reason(const PlanNode& node, Mode mode);

}  // namespace salvor::plan
