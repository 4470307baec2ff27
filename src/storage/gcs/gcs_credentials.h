// Where the access tokens for Google Cloud come from, and keeping them fresh.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "base/context.h"
#include "base/secret.h"
#include "net/http_client.h"
#include "storage/access_token.h"
#include "storage/storage_options.h"

namespace salvor {

// Looked for in this order; the first that is configured is used, and if it does not work that is
// an error (never silently another identity):
//
//   1. GOOGLE_ACCESS_TOKEN: a token as it is (it lasts an hour and cannot be renewed)
//   2. GCS_CREDENTIALS: the text of a credentials file, as it is or in base64
//   3. GOOGLE_APPLICATION_CREDENTIALS: the path of one
//   4. what `gcloud auth application-default login` left: CLOUDSDK_CONFIG or ~/.config/gcloud
//   5. the machine's metadata service (GCE_METADATA_HOST, else 169.254.169.254)
//
// Whether there is a login or a metadata service shows only when one looks. What gave the first
// token gives all others: when it has none later on, that is Error{kUnreachable}, and the other one
// is not asked.
//
// Credentials files are of the types service_account, authorized_user, external_account (workload
// identity federation with a token from a file or a URL) and impersonated_service_account.
//
// Thread-safe; tokens are kept and renewed as AccessTokenCache does. Source: Google, "Using
// OAuth 2.0 for server to server applications", AIP-4110 to 4117; RFC 7523, RFC 8693.
class GcsTokenSource {
 public:
  // `options` is copied; what its environment refers to must outlive this.
  explicit GcsTokenSource(StorageOptions options);

  // Throws Error{kPermission} when there are none or they are refused, saying where was looked;
  // kUnreachable when the service that gives them out does not answer.
  [[nodiscard]] Secret get(const Context& context) { return cache_.get(context); }
  // The server has refused this token: the next `get` fetches another. False when that is not
  // possible.
  [[nodiscard]] bool renew(const Secret& refused) { return cache_.renew(refused); }
  // The project that the credentials belong to, "" when they do not say. Only after `get`.
  [[nodiscard]] std::string project() const;

 private:
  using Token = AccessToken;
  class File;  // a credentials file

  Token fetch(const Context& context);
  Token from_file(const Context& context, const File& file, int depth);
  Token from_service_account(const Context& context, const File& file);
  Token from_user(const Context& context, const File& file);
  Token from_external_account(const Context& context, const File& file);
  std::string subject_token(const Context& context, const File& file);
  Token impersonate(const Context& context, const Token& base, const File& file);
  std::optional<Token> from_login(const Context& context);
  std::optional<Token> from_machine(const Context& context);
  Token from_path(const Context& context, const std::string& path, const std::string& origin);
  Token exchange(const Context& context, const File& file, const std::string& url,
                 const std::string& form);
  Token parse(const Context& context, std::string_view json, const std::string& origin);

  enum class Source : uint8_t { kLogin, kMachine };

  const StorageOptions options_;
  HttpClient client_;
  std::optional<Source> source_;  // of the first token; used by `fetch` alone
  mutable std::mutex mutex_;
  std::string project_;                      // under mutex_
  std::chrono::nanoseconds clock_offset_{};  // the token service's clock minus ours
  AccessTokenCache cache_;
};

}  // namespace salvor
