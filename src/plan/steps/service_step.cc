// start, stop and scale: a systemd unit, a service of a compose project, or commands of one's own.
// All of them say what should be, not what should change: doing them again is harmless. How it was
// before is journalled first, for the undo.
#include <algorithm>

#include "base/error.h"
#include "base/format.h"
#include "model/text_file.h"
#include "plan/shell.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

constexpr const char* kBefore = "before";

enum class Wish : uint8_t { kStart, kStop, kScale };

std::vector<std::string> compose(const Settings& settings) {
  std::vector<std::string> words{"docker", "compose"};
  if (const std::string file = settings.text("compose-file"); !file.empty()) {
    words.insert(words.end(), {"-f", file});
  }
  return words;
}

class ServiceStep final : public Step {
 public:
  explicit ServiceStep(Wish wish) : wish_(wish), kind_(make_kind(wish)) {}

  [[nodiscard]] const StepKind& kind() const override { return kind_; }
  [[nodiscard]] bool may_clear_the_way() const override { return wish_ != Wish::kStart; }
  [[nodiscard]] std::vector<std::string> outputs() const override { return {"before"}; }
  [[nodiscard]] bool local(const Settings& settings) const override {
    return settings.text("host").empty();
  }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    std::string text = kind_.name + " " + settings.text("service");
    if (wish_ == Wish::kScale) {
      text += " to " + settings.text("replicas");
    }
    const std::string host = settings.text("host");
    return text + (host.empty() ? "" : " on " + host);
  }
  [[nodiscard]] std::vector<std::string> preflight(StepScene& scene) const override {
    std::vector<std::string> problems;
    const std::string manager = manager_of(scene.settings);
    if (wish_ == Wish::kScale && manager == "systemd") {
      problems.emplace_back("a systemd unit cannot be scaled: give compose-file or run");
    }
    if (manager == "command" && scene.settings.list("run").empty()) {
      problems.emplace_back("`run` is missing: the command that does it");
    }
    if (scene.settings.text("service").starts_with('-')) {
      problems.push_back("\"" + printable(scene.settings.text("service")) + "\" is no service");
    }
    const auto words = act(scene.raw, wish_, "0");
    for (std::string& problem : command_problems(scene, words)) {
      problems.push_back(std::move(problem));
    }
    return problems;
  }
  [[nodiscard]] ProbeAnswer probe(StepScene&) const override {
    return {.state = Probed::kNotDone, .result = {}, .why = "saying it again is harmless"};
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    std::string before = scene.note_of(kBefore);
    if (before.empty()) {
      before = state(scene);
      scene.note(kBefore, before);
    }
    const std::string wanted = scene.settings.text("replicas");
    order(scene, wish_, wanted);
    return {
        .summary = "it was " + before, .outputs = {{"before", before}}, .checks = {}, .facts = {}};
  }
  [[nodiscard]] bool can_undo() const override { return true; }
  void undo(StepScene& scene, const StepResult&) const override {
    const std::string before = scene.note_of(kBefore);
    if (before == "unknown" || before.empty()) {
      if (before.empty()) {
        return;  // it had not acted
      }
      throw Error(ErrorCode::kFailed, "nobody knows how the service was before",
                  "Give `status`, or an `undo` of the step.");
    }
    if (wish_ == Wish::kScale) {
      order(scene, wish_, before);
    } else {
      order(scene, before == "running" ? Wish::kStart : Wish::kStop, "");
    }
  }

 private:
  static StepKind make_kind(Wish wish) {
    StepKind kind;
    kind.name = wish == Wish::kStart ? "start" : wish == Wish::kStop ? "stop" : "scale";
    kind.summary = wish == Wish::kScale
                       ? "changes how many of a service run"
                       : kind.name + "s a systemd unit, a compose service, or what a command does";
    kind.fields = {{.name = "service", .help = "unit or service", .required = true}};
    if (wish == Wish::kScale) {
      kind.fields.push_back(
          {.name = "replicas", .type = FieldType::kNumber, .help = "how many", .required = true});
    }
    const std::vector<FieldSpec> more{
        {.name = "compose-file",
         .type = FieldType::kPath,
         .help = "of the compose project; then `service` is a service of it"},
        {.name = "user",
         .type = FieldType::kFlag,
         .help = "a unit of the user's own systemd",
         .default_text = "false"},
        {.name = "run",
         .type = FieldType::kTextList,
         .help = "command that does it ($REPLICAS: how many)"},
        {.name = "undo-run",
         .type = FieldType::kTextList,
         .help = "command that does the opposite, for the undo"},
        {.name = "status",
         .type = FieldType::kTextList,
         .help = "command that ends with 0 when it runs; for scale: prints how many"}};
    kind.fields.insert(kind.fields.end(), more.begin(), more.end());
    for (FieldSpec& field : place_fields()) {
      kind.fields.push_back(std::move(field));
    }
    kind.fields.push_back(in_drill_field());
    return kind;
  }

  static std::string manager_of(const Settings& settings) {
    if (settings.has("run")) {
      return "command";
    }
    return settings.has("compose-file") ? "compose" : "systemd";
  }

  // The words that make it so.
  [[nodiscard]] std::vector<std::string> act(const Settings& settings, Wish wish,
                                             const std::string& replicas) const {
    const std::string service = settings.text("service");
    const std::string manager = manager_of(settings);
    if (manager == "command") {
      return wish == wish_ ? settings.list("run") : settings.list("undo-run");
    }
    if (manager == "compose") {
      std::vector<std::string> words = compose(settings);
      if (wish == Wish::kStop) {
        words.insert(words.end(), {"stop", service});
      } else if (wish == Wish::kStart) {
        words.insert(words.end(), {"up", "--detach", "--no-recreate", "--no-deps", service});
      } else {
        words.insert(words.end(), {"up", "--detach", "--no-recreate", "--no-deps", "--scale",
                                   service + "=" + replicas, service});
      }
      return words;
    }
    std::vector<std::string> words{"systemctl"};
    if (settings.flag("user", false)) {
      words.emplace_back("--user");
    }
    words.insert(words.end(), {wish == Wish::kStart ? "start" : "stop", "--", service});
    return words;
  }

  void order(StepScene& scene, Wish wish, const std::string& replicas) const {
    if (scene.settings.text("service").starts_with('-')) {
      throw Error(ErrorCode::kUsage, "a service's name does not begin with \"-\"");
    }
    std::vector<std::string> words = act(scene.raw, wish, replicas);
    if (wish == Wish::kStart && manager_of(scene.raw) == "compose" && has_containers(scene)) {
      // `up` would make them as many as the file says, which may be fewer than were stopped.
      words = compose(scene.raw);
      words.insert(words.end(), {"start", scene.raw.text("service")});
    }
    if (words.empty()) {
      throw Error(ErrorCode::kUsage, "there is no command for it", "Give `undo-run`.");
    }
    const TextMap more = wish == Wish::kScale ? TextMap{{"REPLICAS", replicas}} : TextMap{};
    static_cast<void>(run_accepted(scene, command_order(scene, words, more), {0}));
  }

  [[nodiscard]] static bool has_containers(StepScene& scene) {
    std::vector<std::string> words = compose(scene.raw);
    words.insert(words.end(), {"ps", "--all", "--quiet", scene.raw.text("service")});
    const CommandOutcome outcome = run_command(scene.context, command_order(scene, words));
    return outcome.exit.success() && !trim_space(outcome.output).empty();
  }

  // "running", "stopped", a number, "unknown".
  [[nodiscard]] std::string state(StepScene& scene) const {
    const Settings& settings = scene.raw;
    std::vector<std::string> words;
    const std::string manager = manager_of(settings);
    if (manager == "command") {
      words = settings.list("status");
      if (words.empty()) {
        return "unknown";
      }
    } else if (manager == "compose") {
      words = compose(settings);
      words.insert(words.end(), {"ps", "--status", "running", "--quiet", settings.text("service")});
    } else {
      words = {"systemctl"};
      if (settings.flag("user", false)) {
        words.emplace_back("--user");
      }
      words.insert(words.end(), {"is-active", "--quiet", "--", settings.text("service")});
    }
    const CommandOutcome outcome = run_command(scene.context, command_order(scene, words));
    const std::string output(trim_space(outcome.output));
    if (manager == "compose") {
      const auto count = output.empty() ? 0 : 1 + std::count(output.begin(), output.end(), '\n');
      if (!outcome.exit.success()) {
        return "unknown";
      }
      return wish_ == Wish::kScale ? std::to_string(count) : count > 0 ? "running" : "stopped";
    }
    if (wish_ == Wish::kScale) {
      const bool number =
          !output.empty() && output.find_first_not_of("0123456789") == std::string::npos;
      return outcome.exit.success() && number ? output : "unknown";
    }
    if (outcome.exit.success()) {
      return "running";
    }
    // Of what could not be asked nothing is known: systemctl says 3 of a unit that does not run, a
    // shell 126 and 127 of a program that does not, ssh 255 of a host that does not answer.
    constexpr int kInactive = 3;
    constexpr int kNotRun = 126;
    const bool answered =
        manager == "systemd" ? outcome.exit.status == kInactive : outcome.exit.status < kNotRun;
    return outcome.exit.signal == 0 && answered ? "stopped" : "unknown";
  }

  Wish wish_;
  StepKind kind_;
};

}  // namespace

const Step& start_step() {
  static const ServiceStep step(Wish::kStart);
  return step;
}
const Step& stop_step() {
  static const ServiceStep step(Wish::kStop);
  return step;
}
const Step& scale_step() {
  static const ServiceStep step(Wish::kScale);
  return step;
}

}  // namespace salvor::plan
