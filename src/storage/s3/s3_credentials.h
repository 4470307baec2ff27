// Where the credentials for S3 come from, and keeping them fresh.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "net/http_client.h"
#include "net/sigv4.h"
#include "storage/storage_options.h"

namespace salvor {

// Looked for in the order of AWS's own tools; the first that is configured is used, and if it does
// not work that is an error (never silently another identity):
//
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//   2. AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (Kubernetes, GitHub): STS
//   3. the profile AWS_PROFILE (or "default") in AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials)
//      and AWS_CONFIG_FILE (~/.aws/config): keys, credential_process, web identity, or role_arn
//      with source_profile
//   4. AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI (ECS, EKS pod identity)
//   5. the instance's metadata service, version 2 (unless AWS_EC2_METADATA_DISABLED=true)
//
// What gave the first ones gives all others: when it has none later on, that is
// Error{kUnreachable}, and the next in the list is not asked.
//
// With RESTIC_AWS_ASSUME_ROLE_ARN (SALVOR_... too) those are only used to assume that role.
//
// Thread-safe. Credentials that expire are fetched again five minutes before they do; when that
// fails, the old ones are used as long as they last.
class AwsCredentialSource {
 public:
  // `options` is copied; what its environment refers to must outlive this.
  AwsCredentialSource(StorageOptions options, std::string region);
  ~AwsCredentialSource();

  // Throws Error{kPermission} when there are none, saying where was looked; kUnreachable when a
  // service that gives them out does not answer.
  [[nodiscard]] AwsCredentials get(const Context& context);
  // The server has refused credentials of this id as expired: the next `get` fetches new ones.
  // False when these cannot be renewed.
  [[nodiscard]] bool renew(const std::string& access_key_id);

 private:
  struct Found {
    AwsCredentials credentials;
    std::optional<WallTime> expires;
    std::string origin;  // "the environment", for messages
  };
  struct Profile;
  enum class Source : uint8_t { kEnvironment, kWebIdentity, kProfile, kContainer, kInstance };

  Found find(const Context& context);
  std::optional<Found> find_base(const Context& context);
  std::optional<Found> find_in(const Context& context, Source source);
  std::optional<Found> from_environment();
  std::optional<Found> from_web_identity(const Context& context, const std::string& token_file,
                                         const std::string& role, const std::string& session);
  std::optional<Found> from_profile(const Context& context, const std::string& name, int depth);
  std::optional<Found> from_container(const Context& context);
  std::optional<Found> from_instance(const Context& context);
  Found assume_role(const Context& context, const Found& base, const std::string& role,
                    const std::string& session, const std::string& external_id);
  Found ask_sts(const Context& context, const std::string& form, const Found* signer,
                const std::string& origin);
  Found parse_json(const std::string& text, const std::string& origin);
  HttpResponse call_machine(const Context& context, HttpRequest request);
  Profile read_profile(const std::string& name);

  const StorageOptions options_;
  const std::string region_;
  HttpClient client_;
  std::mutex mutex_;
  std::optional<Found> current_;
  bool stale_ = false;
  // Of the first ones; and whether the instance has ever given some. Under mutex_.
  std::optional<Source> source_;
  bool on_instance_ = false;
};

}  // namespace salvor
