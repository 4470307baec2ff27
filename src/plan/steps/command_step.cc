// Any command, here or over ssh. What became of one that was interrupted is learnt from the small
// shell that keeps its exit status (plan/process.h).
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/format.h"
#include "model/text_file.h"
#include "plan/expectation.h"
#include "plan/shell.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

class CommandStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind = make_kind();
    return kind;
  }
  [[nodiscard]] bool may_clear_the_way() const override { return true; }
  [[nodiscard]] std::vector<std::string> outputs() const override { return {"output", "status"}; }
  [[nodiscard]] bool local(const Settings& settings) const override {
    return settings.text("host").empty();
  }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    std::string text;
    for (const std::string& word : settings.list("command")) {
      text += (text.empty() ? "" : " ") + word;
    }
    constexpr size_t kShown = 100;
    const std::string host = settings.text("host");
    return printable(text.substr(0, kShown)) + (host.empty() ? "" : " on " + host);
  }
  [[nodiscard]] std::vector<std::string> preflight(StepScene& scene) const override {
    std::vector<std::string> problems = command_problems(scene, scene.settings.list("command"));
    try {
      static_cast<void>(exit_codes(scene.settings.list("exit-codes")));
    } catch (const Error& error) {
      problems.push_back(error.message());
    }
    return problems;
  }

  [[nodiscard]] ProbeAnswer probe(StepScene& scene) const override {
    if (const auto done = scene.raw.list("unless"); !done.empty() && holds(scene, done)) {
      return {.state = Probed::kDone,
              .result = {.summary = "it had been done", .outputs = {}, .checks = {}, .facts = {}},
              .why = "its `unless` says that it is done"};
    }
    const auto codes = exit_codes(scene.settings.list("exit-codes"));
    const auto exit = earlier_outcome(scene.context, scene.files);
    const bool good = exit && exit->signal == 0 &&
                      std::find(codes.begin(), codes.end(), exit->status) != codes.end();
    // Its exit status was kept, what it printed was not: nothing may be made up for it.
    const bool wants_output = !declared(scene.settings).empty() ||
                              !scene.settings.text("expect").empty() ||
                              scene.wanted.contains("output");
    if (good && !wants_output) {
      return {.state = Probed::kDone,
              .result = {.summary = "it had ended with " + exit->text() +
                                    " by itself while nobody watched",
                         .outputs = {{"status", std::to_string(exit->status)}},
                         .checks = {},
                         .facts = {}},
              .why = "it ended with " + exit->text()};
    }
    if (scene.settings.flag("repeatable", false)) {
      return {.state = Probed::kNotDone, .result = {}, .why = "it is said to be repeatable"};
    }
    if (!exit && scene.same_boot && !was_started(scene.files)) {
      return {.state = Probed::kNotDone, .result = {}, .why = "it had not been started"};
    }
    if (!scene.raw.list("unless").empty()) {
      return {
          .state = Probed::kNotDone, .result = {}, .why = "its `unless` says that it is not done"};
    }
    return {.state = Probed::kUnknown,
            .result = {},
            .why = good ? "it had ended with " + exit->text() +
                              ", but what it printed, which is needed, nobody read"
                   : exit ? "it had ended with " + exit->text() + ", and may have done a part"
                          : "it was interrupted, and may have done all, a part or nothing"};
  }

  [[nodiscard]] StepResult run(StepScene& scene) const override {
    if (const auto done = scene.raw.list("unless"); !done.empty() && holds(scene, done)) {
      return {.summary = "nothing to do", .outputs = {}, .checks = {}, .facts = {}};
    }
    CommandOrder order = command_order(scene, scene.raw.list("command"));
    order.files = scene.files;
    const auto begun = scene.context.clock.monotonic();
    const CommandOutcome outcome =
        run_accepted(scene, order, exit_codes(scene.settings.list("exit-codes")));
    const std::chrono::duration<double> took = scene.context.clock.monotonic() - begun;
    StepResult result;
    const std::string output(trim_space(outcome.output));
    result.outputs = {{"output", output}, {"status", std::to_string(outcome.exit.status)}};
    take_outputs(scene.settings, output, result);
    constexpr size_t kShown = 120;
    const std::string first = output.substr(0, output.find('\n'));
    result.summary = printable(first.substr(0, kShown));
    if (const std::string wanted = scene.settings.text("expect"); !wanted.empty()) {
      result.checks.push_back(check_value(describe(scene.raw), output, wanted, took.count()));
    }
    return result;
  }

 private:
  static StepKind make_kind() {
    StepKind kind{.name = "command",
                  .summary = "runs a command on this machine or over ssh",
                  .fields = {{.name = "command",
                              .type = FieldType::kTextList,
                              .help = "one text: a line for /bin/sh; a list: program and arguments",
                              .required = true}}};
    for (FieldSpec& field : place_fields()) {
      kind.fields.push_back(std::move(field));
    }
    const std::vector<FieldSpec> more{
        {.name = "exit-codes",
         .type = FieldType::kTextList,
         .help = "exit statuses that mean success",
         .default_text = "0"},
        {.name = "expect", .help = "what it must print: a text, `!= 0`, `>= 10`, `~ expression`"},
        {.name = "outputs",
         .type = FieldType::kTextList,
         .help = "names that it prints as NAME=value lines, for later steps"},
        {.name = "unless",
         .type = FieldType::kTextList,
         .help = "a command that ends with 0 when the work is done already"},
        repeatable_field(),
        in_drill_field()};
    kind.fields.insert(kind.fields.end(), more.begin(), more.end());
    return kind;
  }

  static std::vector<std::string> declared(const Settings& settings) {
    return settings.list("outputs");
  }

  static bool holds(StepScene& scene, const std::vector<std::string>& command) {
    return run_command(scene.context, command_order(scene, command)).exit.success();
  }

  static void take_outputs(const Settings& settings, const std::string& output,
                           StepResult& result) {
    for (const std::string& name : declared(settings)) {
      const std::string prefix = name + "=";
      std::optional<std::string> value;
      for (const std::string& line : split_text_lines(output)) {
        if (line.starts_with(prefix)) {
          value = line.substr(prefix.size());
        }
      }
      if (!value) {
        throw Error(ErrorCode::kFailed, "the command did not print " + printable(name) + "=...");
      }
      result.outputs.emplace_back(name, *value);
    }
  }
};

}  // namespace

const Step& command_step() {
  static const CommandStep step;
  return step;
}

}  // namespace salvor::plan
