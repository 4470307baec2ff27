// Requests to Google Cloud Storage: with a token, and with another one when it has expired.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/http_client.h"
#include "storage/gcs/gcs_credentials.h"
#include "storage/gcs/gcs_settings.h"
#include "storage/server_clock.h"

namespace salvor {

// One request, as far as it does not depend on address and credentials.
struct GcsCall {
  std::string method;
  std::string path;  // "/storage/v1/b/..." and the query
  std::vector<HttpHeader> headers;
  std::span<const ByteView> body;
  std::optional<MutableBytes> into;
  uint64_t limit_bytes = uint64_t{1} << 20;
  std::string what;        // for messages
  std::string permission;  // that it needs
};

// Thread-safe.
class GcsClient {
 public:
  GcsClient(GcsSettings settings, const StorageOptions& options);

  [[nodiscard]] const GcsSettings& settings() const { return settings_; }
  // Any status that is neither a success nor one of `expected` is thrown (gcs_error).
  HttpResponse execute(const Context& context, const GcsCall& call,
                       std::initializer_list<int> expected = {});
  // The credentials' own; may be empty.
  [[nodiscard]] std::string project() const { return tokens_.project(); }
  // What time it is for the server; asks when it has not answered anything yet.
  [[nodiscard]] WallTime server_time(const Context& context);

 private:
  const GcsSettings settings_;
  GcsTokenSource tokens_;
  HttpClient client_;
  ServerClock clock_;
};

}  // namespace salvor
