// A call of another plan. The graph puts the called plan's steps in; what is left here is the place
// that others wait for.
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

class PlanStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{
        .name = "plan",
        .summary = "runs the steps of another plan (which may not call plans itself)",
        .fields = {
            {.name = "plan", .help = "name of the plan", .required = true},
            {.name = "with", .type = FieldType::kTextMap, .help = "values for its parameters"}}};
    return kind;
  }
  [[nodiscard]] bool outside() const override { return false; }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    return "plan " + settings.text("plan");
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    return {.summary = "all steps of " + scene.settings.text("plan"),
            .outputs = {},
            .checks = {},
            .facts = {}};
  }
};

}  // namespace

const Step& plan_step() {
  static const PlanStep step;
  return step;
}

}  // namespace salvor::plan
