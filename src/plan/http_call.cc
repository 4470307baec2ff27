#include "plan/http_call.h"

#include <array>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/format.h"

namespace salvor::plan {

std::vector<FieldSpec> http_fields() {
  return {{.name = "method", .help = "HTTP method", .default_text = "GET"},
          {.name = "headers",
           .type = FieldType::kSecretMap,
           .help = "names with values; a value may be a reference to a secret",
           .example = "Authorization: env:API_AUTHORIZATION"},
          {.name = "body", .help = "what is sent"},
          {.name = "ca-file",
           .type = FieldType::kPath,
           .help = "certificate authorities instead of the system's"},
          {.name = "insecure",
           .type = FieldType::kFlag,
           .help = "take any certificate",
           .default_text = "false"}};
}

bool accepts(const std::vector<std::string>& accepted, int status) {
  const std::string text = std::to_string(status);
  if (accepted.empty()) {
    return text.starts_with("2");
  }
  for (const std::string& one : accepted) {
    if (one.size() != 3 || one[0] < '1' || one[0] > '5') {
      throw Error(ErrorCode::kUsage, "\"" + printable(one) + "\" is no HTTP status",
                  "Write 200 or 3xx.");
    }
    if (one == text || (one.ends_with("xx") && text.front() == one.front())) {
      return true;
    }
  }
  return false;
}

HttpOutcome http_call(StepScene& scene, const std::string& url) {
  HttpClientOptions options;
  options.ca_file = scene.settings.text("ca-file");
  options.insecure = scene.settings.flag("insecure", false);
  HttpClient client(options);
  HttpRequest request;
  request.method = scene.settings.text("method", "GET");
  request.url = url;
  for (const auto& [name, value] : scene.settings.map("headers")) {
    request.headers.push_back({name, std::string(scene.secrets.resolve(value).reveal())});
  }
  const std::string body = scene.settings.text("body");
  const std::array<ByteView, 1> parts{as_bytes(body)};
  if (!body.empty()) {
    request.body = parts;
  }
  const auto begun = scene.context.clock.monotonic();
  const HttpResponse response = client.request(scene.context, request);
  const std::chrono::duration<double> took = scene.context.clock.monotonic() - begun;
  return {.status = response.status,
          .body = scene.secrets.hide(as_text(response.body.view())),
          .seconds = took.count()};
}

std::string json_value(const std::string& document, const std::string& pointer) {
  try {
    const auto json = nlohmann::json::parse(document);
    const auto& value = json.at(nlohmann::json::json_pointer(pointer));
    return value.is_string() ? value.get<std::string>() : value.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::kFailed,
                "the reply is no JSON or has no value at " + printable(pointer));
  }
}

}  // namespace salvor::plan
