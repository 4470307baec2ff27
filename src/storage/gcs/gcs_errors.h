// What Google Cloud Storage answers when something is wrong, in words that name cause and next
// step.
#pragma once

#include <string>

#include "base/error.h"
#include "net/http_client.h"
#include "storage/gcs/gcs_settings.h"

namespace salvor {

// What an error reply says.
struct GcsFailure {
  int status = 0;
  std::string reason;      // "notFound", "rateLimitExceeded"; often empty
  std::string message;     // the server's own words
  bool no_bucket = false;  // it is the bucket that is missing, not an object

  // Whether it is a 404 that is not in Google's form, which names a reason.
  [[nodiscard]] bool foreign() const { return status == 404 && reason.empty() && !no_bucket; }
};

[[nodiscard]] GcsFailure parse_gcs_failure(const HttpResponse& response);

// `what`: "cannot write pack 1a2b3c4d to Google Cloud Storage bucket b"; `permission`: what the
// request needs, "storage.objects.create". With Error::advice for what may be tried again.
[[nodiscard]] Error gcs_error(const GcsSettings& settings, const GcsFailure& failure,
                              const HttpResponse& response, const std::string& what,
                              const std::string& permission);

}  // namespace salvor
