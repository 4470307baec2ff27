#include "plan/default_plan.h"

namespace salvor::plan {

PlanSpec default_plan(const std::vector<std::string>& sources, bool restores) {
  PlanSpec plan{.name = kDefaultPlan,
                .summary = "Every source brought back and, in drills, checked",
                .parameters = {{"point", "latest"}},
                .steps = {},
                .source_text = {}};
  for (const std::string& source : sources) {
    Settings settings;
    settings.set("source", source);
    StepSpec check;
    check.id = "check-" + source;
    check.title = "check " + source;
    check.action = {.kind = "check", .settings = settings};
    check.only = StepScope::kDrill;
    if (restores) {
      StepSpec restore;
      restore.id = "restore-" + source;
      restore.title = "restore " + source;
      restore.action = {.kind = "restore", .settings = settings};
      restore.timeout = std::chrono::hours(24);
      check.after = {restore.id};
      plan.steps.push_back(std::move(restore));
    }
    plan.steps.push_back(std::move(check));
  }
  return plan;
}

}  // namespace salvor::plan
