// Tells people. It is sent at least once: after a crash perhaps twice.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"
#include "plan/http_call.h"
#include "plan/shell.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

class NotifyStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind = make_kind();
    return kind;
  }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    return "notify: " + printable(settings.text("message"));
  }
  [[nodiscard]] std::vector<std::string> preflight(StepScene& scene) const override {
    if (const auto command = scene.settings.list("command"); !command.empty()) {
      return command_problems(scene, command);
    }
    try {
      static_cast<void>(scene.secrets.resolve(scene.settings.text("webhook")));
    } catch (const Error& error) {
      return {error.message()};
    }
    return {};
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const std::string message = scene.settings.text("message");
    const std::string severity = scene.settings.text("severity", "info");
    scene.announce(severity, message);
    std::string to = "the run's events";
    if (scene.settings.has("webhook")) {
      send(scene, message, severity);
      to = "the webhook";
    }
    if (const auto command = scene.raw.list("command"); !command.empty()) {
      static_cast<void>(
          run_accepted(scene,
                       command_order(scene, command,
                                     {{"SALVOR_MESSAGE", message}, {"SALVOR_SEVERITY", severity}}),
                       {0}));
      to = "the command";
    }
    return {.summary = "told " + to, .outputs = {}, .checks = {}, .facts = {}};
  }

 private:
  static StepKind make_kind() {
    StepKind kind{
        .name = "notify",
        .summary = "tells people where the recovery stands",
        .fields = {{.name = "message", .help = "what is said", .required = true},
                   {.name = "severity",
                    .help = "how urgent",
                    .default_text = "info",
                    .choices = {"info", "warning", "error", "critical"}},
                   {.name = "webhook",
                    .type = FieldType::kSecret,
                    .help = "address that gets {\"text\": ...}, as Slack and its like take it",
                    .example = "env:WEBHOOK_URL"},
                   {.name = "ca-file",
                    .type = FieldType::kPath,
                    .help = "certificate authorities for the webhook instead of the system's"},
                   {.name = "command",
                    .type = FieldType::kTextList,
                    .help = "command that sends it: $SALVOR_MESSAGE, $SALVOR_SEVERITY"}}};
    for (FieldSpec& field : place_fields()) {
      kind.fields.push_back(std::move(field));
    }
    kind.fields.push_back(in_drill_field());
    return kind;
  }

  static void send(StepScene& scene, const std::string& message, const std::string& severity) {
    const Secret url = secret_setting(scene, "webhook");
    const nlohmann::json body{{"text", message}, {"severity", severity}, {"run", scene.run}};
    HttpOutcome reply;
    try {
      reply = http_call(
          scene, {.method = "POST",
                  .url = std::string(url.reveal()),
                  .headers = {{"Content-Type", Secret("application/json")}},
                  .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                  .ca_file = scene.settings.text("ca-file")});
    } catch (const Error& error) {
      // The address is the secret; messages name parts of it.
      throw Error(error.code(), error.code() == ErrorCode::kCancelled
                                    ? error.message()
                                    : "the webhook cannot be reached");
    }
    if (!accepts({}, reply.status)) {
      throw Error(ErrorCode::kFailed,
                  "the webhook answered with status " + std::to_string(reply.status));
    }
  }
};

}  // namespace

const Step& notify_step() {
  static const NotifyStep step;
  return step;
}

}  // namespace salvor::plan
