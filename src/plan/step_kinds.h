// Every kind of step there is. A new one is one file in plan/steps/ and a line in step_kinds.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/step.h"

namespace salvor::plan {

// In the order of the docs; what the configuration checks plans against.
[[nodiscard]] const std::vector<StepKind>& step_kinds();
// Null when there is none of that name. Lives for ever.
[[nodiscard]] const Step* find_step(std::string_view kind);

// The names in the list `outputs`, which some kinds have.
[[nodiscard]] std::vector<std::string> declared_outputs(const Settings& settings);
// "run.id", "run.plan", "run.mode", "run.folder"
[[nodiscard]] bool is_run_variable(std::string_view name);

}  // namespace salvor::plan
