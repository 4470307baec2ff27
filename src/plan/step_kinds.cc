#include "plan/step_kinds.h"

#include <array>

#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

const std::array<const Step*, 12>& steps() {
  static const std::array<const Step*, 12> all{&check_step(),   &restore_step(), &command_step(),
                                               &sql_step(),     &http_step(),    &wait_step(),
                                               &start_step(),   &stop_step(),    &scale_step(),
                                               &approve_step(), &notify_step(),  &plan_step()};
  return all;
}

}  // namespace

const std::vector<StepKind>& step_kinds() {
  static const std::vector<StepKind> kinds = [] {
    std::vector<StepKind> list;
    for (const Step* step : steps()) {
      list.push_back(step->kind());
    }
    return list;
  }();
  return kinds;
}

const Step* find_step(std::string_view kind) {
  for (const Step* step : steps()) {
    if (step->kind().name == kind) {
      return step;
    }
  }
  return nullptr;
}

std::vector<std::string> declared_outputs(const Settings& settings) {
  return settings.has("outputs") ? settings.list("outputs") : std::vector<std::string>{};
}

bool is_run_variable(std::string_view name) {
  return name == "run.id" || name == "run.plan" || name == "run.mode" || name == "run.folder";
}

}  // namespace salvor::plan
