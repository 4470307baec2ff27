// Access tokens of Entra ID (formerly Azure Active Directory) for Azure Storage.
#pragma once

#include <optional>
#include <string>

#include "net/http_client.h"
#include "storage/access_token.h"
#include "storage/storage_options.h"

namespace salvor {

// Looked for in the order of Microsoft's own libraries; the first that is configured is used, and
// if it does not work that is an error (never silently another identity):
//
//   1. an application: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET
//   2. workload identity (AKS, GitHub): AZURE_TENANT_ID, AZURE_CLIENT_ID and
//      AZURE_FEDERATED_TOKEN_FILE, which is read again for each token
//   3. managed identity: IDENTITY_ENDPOINT with IDENTITY_HEADER (App Service, Functions), else the
//      machine's metadata service; AZURE_CLIENT_ID chooses one of several
//   4. what `az login` left; with AZURE_FORCE_CLI_CREDENTIAL=true only this
//
// Whether there is a managed identity or a login shows only when one is asked for. What gave the
// first token gives all others: when it does not answer later on, that is Error{kUnreachable}, and
// the next in the list is not asked.
//
// Thread-safe; tokens are kept and renewed as AccessTokenCache does. Source: Microsoft, "OAuth 2.0
// client credentials flow", "How to use managed identities to acquire an access token".
class AzureTokenSource {
 public:
  // `options` is copied; what its environment refers to must outlive this.
  explicit AzureTokenSource(StorageOptions options);

  // Throws Error{kPermission} when there are none or they are refused, saying where was looked;
  // kUnreachable when the service that gives them out does not answer.
  [[nodiscard]] Secret get(const Context& context) { return cache_.get(context); }
  // As AccessTokenCache::renew.
  [[nodiscard]] bool renew(const Secret& refused) { return cache_.renew(refused); }

 private:
  AccessToken fetch(const Context& context);
  // `proof`: the part of the form that shows who we are.
  AccessToken from_authority(const Context& context, const std::string& tenant,
                             const std::string& proof, const std::string& origin);
  std::optional<AccessToken> from_machine(const Context& context);
  std::optional<AccessToken> from_program();
  AccessToken parse(const Context& context, const HttpResponse& response,
                    const std::string& origin);

  enum class Source : uint8_t { kMachine, kProgram };

  const StorageOptions options_;
  HttpClient client_;
  std::optional<Source> source_;  // of the first token; used by `fetch` alone
  AccessTokenCache cache_;
};

}  // namespace salvor
