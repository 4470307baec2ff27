// An HTTP request as steps make it, with what is expected of the reply.
#pragma once

#include <string>
#include <vector>

#include "net/http_client.h"
#include "plan/step.h"

namespace salvor::plan {

struct HttpOutcome {
  int status = 0;
  std::string body;  // secrets hidden
  bool cut = false;  // there was more of it than is kept (1 MiB)
  double seconds = 0;
};

struct HttpOrder {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, Secret>> headers = {};
  std::string body = {};
  std::string ca_file = {};
  bool insecure = false;
  unsigned redirects = 0;
};

// Fields `method`, `headers`, `body`, `ca-file`, `insecure`, `redirects`.
[[nodiscard]] std::vector<FieldSpec> http_fields();
// To `url`, as the settings of http_fields say. Throws Error.
[[nodiscard]] HttpOrder http_order(StepScene& scene, const std::string& url);
// Whether `status` is among `accepted` ("200", "3xx"; empty: 2xx). Throws Error{kUsage}.
[[nodiscard]] bool accepts(const std::vector<std::string>& accepted, int status);
// Any status is an outcome. Throws Error.
[[nodiscard]] HttpOutcome http_call(StepScene& scene, const HttpOrder& order);
// Of a reply: the value at a JSON pointer ("/status/db"), texts without quotes. Throws
// Error{kFailed}.
[[nodiscard]] std::string json_value(const HttpOutcome& reply, const std::string& pointer);

}  // namespace salvor::plan
