// What Azure Blob Storage answers when something is wrong, in words that name cause and next step.
#pragma once

#include <string>

#include "base/error.h"
#include "net/http_client.h"
#include "storage/azure/azure_settings.h"

namespace salvor {

// What an error reply says. Replies to HEAD have no body, but name the code in a header.
struct AzureFailure {
  int status = 0;
  std::string code;     // "BlobNotFound"
  std::string message;  // the server's own words, in one line
  std::string detail;   // AuthenticationErrorDetail

  // Whether it is a 404 that Azure did not give, which names a code.
  [[nodiscard]] bool foreign() const { return status == 404 && code.empty(); }
};

[[nodiscard]] AzureFailure parse_azure_failure(const HttpResponse& response);

// `what`: "cannot write pack 1a2b3c4d to Azure container c of account a"; `right`: what the request
// needs, as a letter of shared access signatures and in words: "c (create)". With Error::advice for
// what may be tried again.
[[nodiscard]] Error azure_error(const AzureSettings& settings, const AzureFailure& failure,
                                const HttpResponse& response, const std::string& what,
                                const std::string& right);

}  // namespace salvor
