#include "plan/scope.h"

#include <algorithm>

namespace salvor::plan {

std::string skip_reason(const PlanNode& node, Mode mode) {
  if (mode == Mode::kProduction) {
    return node.spec.only == StepScope::kDrill ? "only in drills" : "";
  }
  if (node.spec.only == StepScope::kProduction) {
    return "only in production";
  }
  const std::string wish = node.spec.action.settings.text("in-drill", "auto");
  if (wish == "skip") {
    return "in-drill: skip";
  }
  if (wish == "run" || node.spec.only == StepScope::kDrill || !node.step->outside()) {
    return {};
  }
  const std::vector<std::string> names = variables_in(node.spec.action.settings);
  const bool refers = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("target.");
  });
  return refers ? "" : "it does not refer to the target, so it would act on production";
}

}  // namespace salvor::plan
