#include "plan/scope.h"

#include <algorithm>

namespace salvor::plan {
namespace {

// Of a step that belongs to drills, or of its undo.
std::string reason_in_drill(const Step& step, const Settings& settings, StepScope only) {
  const std::string wish = settings.text("in-drill", "auto");
  if (wish == "skip") {
    return "in-drill: skip";
  }
  if (wish == "run" || only == StepScope::kDrill || !step.outside()) {
    return {};
  }
  const std::vector<std::string> names = variables_in(settings);
  const bool refers = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("target.");
  });
  return refers ? "" : "it does not refer to the target, so it would act on production";
}

}  // namespace

std::string skip_reason(const PlanNode& node, Mode mode) {
  if (mode == Mode::kProduction) {
    return node.spec.only == StepScope::kDrill ? "only in drills" : "";
  }
  if (node.spec.only == StepScope::kProduction) {
    return "only in production";
  }
  return reason_in_drill(*node.step, node.spec.action.settings, node.spec.only);
}

std::string undo_skip_reason(const PlanNode& node, Mode mode) {
  if (mode == Mode::kProduction || node.undo == nullptr) {
    return {};
  }
  return reason_in_drill(*node.undo, node.spec.undo->settings, node.spec.only);
}

}  // namespace salvor::plan
