// Headers and error replies of servers, and the coding of URLs.
#include "fuzz_support.h"
#include "net/http_client.h"
#include "storage/s3/s3_errors.h"

using namespace salvor;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(fuzz::input(data, size));
  for (const bool keep_slashes : {false, true}) {
    const std::string encoded = percent_encode(text, keep_slashes);
    fuzz::require(percent_decode(encoded) == std::optional(std::string(text)));
  }
  static_cast<void>(percent_decode(text));
  static_cast<void>(parse_http_date(text));
  HttpResponse response;
  response.status = 400;
  response.body.append(text);
  static_cast<void>(parse_s3_failure(response));
  return 0;
}
