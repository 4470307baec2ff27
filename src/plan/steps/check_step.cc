// The store's own checks and the source's assertions; in a drill also whether all is as restored.
#include "base/error.h"
#include "model/count_text.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

class CheckStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{
        .name = "check",
        .summary =
            "checks a restored store: its own integrity and the source's assertions; in a drill "
            "also that rows, columns and files are as restored",
        .fields = {{.name = "source", .help = "source to check", .required = true}}};
    return kind;
  }
  [[nodiscard]] std::vector<std::string> outputs() const override { return {"checks"}; }
  [[nodiscard]] bool outside() const override { return false; }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    return "check " + settings.text("source");
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const std::string source = scene.settings.text("source");
    StepResult result;
    result.checks = scene.site.check(scene.context, source);
    if (result.checks.empty()) {
      throw Error(ErrorCode::kFailed, "nothing of " + source + " could be checked",
                  "A check that checks nothing proves nothing: use sql, http or command steps.");
    }
    result.summary = counted(result.checks.size(), "check") + " of " + source;
    result.outputs = {{"checks", std::to_string(result.checks.size())}};
    return result;
  }
};

}  // namespace

const Step& check_step() {
  static const CheckStep step;
  return step;
}

}  // namespace salvor::plan
