#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "plan/expectation.h"
#include "plan/http_call.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

// RFC 9110, 9.2.2: doing these twice is like doing them once.
bool idempotent(const std::string& method) {
  constexpr std::array<std::string_view, 6> kMethods{"GET",    "HEAD",    "PUT",
                                                     "DELETE", "OPTIONS", "TRACE"};
  return std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
}

class HttpStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind = make_kind();
    return kind;
  }
  [[nodiscard]] std::vector<std::string> outputs() const override {
    return {"status", "body", "value", "milliseconds"};
  }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    return settings.text("method", "GET") + " " + settings.text("url");
  }
  [[nodiscard]] std::vector<std::string> preflight(StepScene& scene) const override {
    std::vector<std::string> problems;
    const std::string url = scene.settings.text("url");
    if (url.find("${") == std::string::npos && !url.starts_with("http://") &&
        !url.starts_with("https://")) {
      problems.push_back("\"" + printable(url) + "\" is no http:// or https:// address");
    }
    try {
      static_cast<void>(accepts(scene.settings.list("expect-status"), 200));
      for (const auto& [name, value] : scene.settings.map("headers")) {
        if (value.find("${") == std::string::npos) {
          static_cast<void>(scene.secrets.resolve(value));
        }
      }
    } catch (const Error& error) {
      problems.push_back(error.message());
    }
    return problems;
  }
  [[nodiscard]] ProbeAnswer probe(StepScene& scene) const override {
    if (idempotent(scene.settings.text("method", "GET")) ||
        scene.settings.flag("repeatable", false)) {
      return {.state = Probed::kNotDone, .result = {}, .why = "it may be sent again"};
    }
    return {.state = Probed::kUnknown,
            .result = {},
            .why = "nobody knows whether the server acted upon the request"};
  }
  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const Settings& settings = scene.settings;
    const HttpOutcome reply = http_call(scene, http_order(scene, settings.text("url")));
    StepResult result;
    const auto accepted = settings.list("expect-status");
    std::string wanted;
    for (const std::string& one : accepted) {
      wanted += (wanted.empty() ? "" : " or ") + one;
    }
    const std::string name = describe(scene.raw);
    result.checks.push_back({.name = name,
                             .passed = accepts(accepted, reply.status),
                             .value = "status " + std::to_string(reply.status),
                             .expected = "status " + (wanted.empty() ? "2xx" : wanted),
                             .seconds = reply.seconds});
    constexpr double kMilli = 1000;
    if (const uint64_t most = settings.number("max-latency-ms", 0); most > 0) {
      result.checks.push_back({.name = "latency of " + name,
                               .passed = reply.seconds * kMilli <= static_cast<double>(most),
                               .value = fmt::format("{:.0f} ms", reply.seconds * kMilli),
                               .expected = fmt::format("at most {} ms", most),
                               .seconds = reply.seconds});
    }
    std::string value = reply.body;
    if (const std::string pointer = settings.text("json"); !pointer.empty()) {
      value = json_value(reply, pointer);
    }
    if (const std::string expected = settings.text("expect"); !expected.empty()) {
      result.checks.push_back(check_value("reply to " + name, value, expected, reply.seconds));
    }
    constexpr size_t kKept = 4096;
    result.outputs = {{"status", std::to_string(reply.status)},
                      {"body", reply.body.substr(0, kKept)},
                      {"value", value.substr(0, kKept)},
                      {"milliseconds", fmt::format("{:.0f}", reply.seconds * kMilli)}};
    result.summary = fmt::format("status {} in {:.0f} ms", reply.status, reply.seconds * kMilli);
    return result;
  }

 private:
  static StepKind make_kind() {
    StepKind kind{.name = "http",
                  .summary = "sends an HTTP request and looks at the reply",
                  .fields = {{.name = "url", .help = "address", .required = true}}};
    for (FieldSpec& field : http_fields()) {
      kind.fields.push_back(std::move(field));
    }
    const std::vector<FieldSpec> more{
        {.name = "expect-status",
         .type = FieldType::kTextList,
         .help = "statuses that are right",
         .default_text = "2xx"},
        {.name = "max-latency-ms",
         .type = FieldType::kNumber,
         .help = "the longest time until the whole reply is there"},
        {.name = "json", .help = "JSON pointer to the value", .example = "/database/status"},
        {.name = "expect",
         .help = "what the value (without `json`: the reply) must be: a text, `!= 0`, `>= 10`, "
                 "`~ expression`"},
        repeatable_field(),
        in_drill_field()};
    kind.fields.insert(kind.fields.end(), more.begin(), more.end());
    return kind;
  }
};

}  // namespace

const Step& http_step() {
  static const HttpStep step;
  return step;
}

}  // namespace salvor::plan
