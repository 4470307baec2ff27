// An HTTP request as steps make it, with what is expected of the reply.
#pragma once

#include <string>
#include <vector>

#include "net/http_client.h"
#include "plan/step.h"

namespace salvor::plan {

struct HttpOutcome {
  int status = 0;
  std::string body;
  double seconds = 0;
};

// Fields `method`, `headers`, `body`, `ca-file`, `insecure`.
[[nodiscard]] std::vector<FieldSpec> http_fields();
// Whether `status` is among `accepted` ("200", "3xx"; empty: 2xx). Throws Error{kUsage}.
[[nodiscard]] bool accepts(const std::vector<std::string>& accepted, int status);
// By `url` and the settings of http_fields. Throws Error.
[[nodiscard]] HttpOutcome http_call(StepScene& scene, const std::string& url);
// The value at a JSON pointer ("/status/db"), texts without quotes. Throws Error{kFailed}.
[[nodiscard]] std::string json_value(const std::string& document, const std::string& pointer);

}  // namespace salvor::plan
