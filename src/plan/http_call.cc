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
           .default_text = "false"},
          {.name = "redirects",
           .type = FieldType::kNumber,
           .help = "how many redirects are followed, on the same host; else the redirect is the "
                   "reply",
           .default_text = "0"}};
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

HttpOrder http_order(StepScene& scene, const std::string& url) {
  return {.method = scene.settings.text("method", "GET"),
          .url = url,
          .headers = secret_settings(scene, "headers"),
          .body = scene.settings.text("body"),
          .ca_file = scene.settings.text("ca-file"),
          .insecure = scene.settings.flag("insecure", false),
          .redirects = static_cast<unsigned>(scene.settings.number("redirects", 0))};
}

HttpOutcome http_call(StepScene& scene, const HttpOrder& order) {
  // A value that was put in must not begin another request.
  if (order.url.find_first_of(std::string_view("\0\t\r\n ", 5)) != std::string::npos) {
    throw Error(ErrorCode::kUsage,
                "the address " + printable(scene.secrets.hide(order.url)) + " holds blanks",
                "Write them as %20; values of variables are not encoded.");
  }
  HttpClient client({.ca_file = order.ca_file, .insecure = order.insecure});
  HttpRequest request;
  request.method = order.method;
  request.url = order.url;
  request.max_redirects = order.redirects;
  for (const auto& [name, value] : order.headers) {
    request.headers.push_back({name, std::string(value.reveal())});
  }
  const std::array<ByteView, 1> parts{as_bytes(order.body)};
  if (!order.body.empty()) {
    request.body = parts;
  }
  const auto begun = scene.context.clock.monotonic();
  const HttpResponse response = client.request(scene.context, request);
  const std::chrono::duration<double> took = scene.context.clock.monotonic() - begun;
  return {.status = response.status,
          .body = scene.secrets.hide(as_text(response.body.view())),
          .cut = response.cut,
          .seconds = took.count()};
}

std::string json_value(const HttpOutcome& reply, const std::string& pointer) {
  try {
    const auto json = nlohmann::json::parse(reply.body);
    const auto& value = json.at(nlohmann::json::json_pointer(pointer));
    return value.is_string() ? value.get<std::string>() : value.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::kFailed,
                reply.cut ? "the reply is longer than can be kept (1 MiB)"
                          : "the reply is no JSON or has no value at " + printable(pointer));
  }
}

}  // namespace salvor::plan
