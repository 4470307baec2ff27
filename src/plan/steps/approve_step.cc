// A person says go on. The answer is journalled before it counts.
#include "base/error.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

class ApproveStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{
        .name = "approve",
        .summary = "waits until a person agrees, in the terminal or by `salvor plan approve`",
        .fields = {{.name = "question", .help = "what is asked", .required = true},
                   {.name = "by",
                    .type = FieldType::kTextList,
                    .help = "who may answer; by default whoever runs the plan"}}};
    return kind;
  }
  [[nodiscard]] bool may_clear_the_way() const override { return true; }
  [[nodiscard]] std::vector<std::string> outputs() const override { return {"by", "comment"}; }
  [[nodiscard]] bool outside() const override { return false; }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    return "approve: " + settings.text("question");
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const Approval answer = scene.ask(scene.settings.text("question"), scene.settings.list("by"));
    if (!answer.granted) {
      throw Error(ErrorCode::kFailed, answer.by + " did not approve" +
                                          (answer.comment.empty() ? "" : ": " + answer.comment));
    }
    return {.summary = "approved by " + answer.by,
            .outputs = {{"by", answer.by}, {"comment", answer.comment}},
            .checks = {},
            .facts = {}};
  }
};

}  // namespace

const Step& approve_step() {
  static const ApproveStep step;
  return step;
}

}  // namespace salvor::plan
