// A resolved plan as text: the same plan always gives the same text, whatever its comments and
// layout were. The run journal keeps it, so that a changed plan is noticed and the change shown.
#pragma once

#include <string>
#include <string_view>

#include "plan/graph.h"

namespace salvor::plan {

// One line a setting, indented as YAML. Do not change without need: runs that were interrupted
// before an upgrade would see a changed plan.
[[nodiscard]] std::string canonical_text(const PlanGraph& graph);
// Of what somebody agrees to who approves the step: its kind, its settings, the question, who may
// answer. Kept beside answers in the journal and in files: do not change.
[[nodiscard]] std::string approval_hash(const PlanNode& node);
// SHA-256, hexadecimal.
[[nodiscard]] std::string text_hash(std::string_view text);

}  // namespace salvor::plan
