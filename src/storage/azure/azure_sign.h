// Signing requests to Azure Storage with the account's key ("Shared Key").
//
// Source: Microsoft, "Authorize with Shared Key"; where that leaves room, what Azurite computes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "net/http_client.h"

namespace salvor {

struct AzureRequest {
  std::string_view method;
  std::string_view path;  // %-encoded, as it is sent; with emulators it begins with the account
  std::vector<std::pair<std::string, std::string>> query;  // not encoded, names in lower case
  std::vector<HttpHeader> headers;                         // with x-ms-date and x-ms-version
  uint64_t body_bytes = 0;
};

// What is signed, to compare with what a server says it saw.
[[nodiscard]] std::string azure_string_to_sign(std::string_view account,
                                               const AzureRequest& request);
// The value of the Authorization header; `key` is decoded.
[[nodiscard]] std::string azure_authorization(std::string_view account, const Secret& key,
                                              const AzureRequest& request);

// "Sun, 06 Nov 1994 08:49:37 GMT"
[[nodiscard]] std::string http_date(WallTime time);

}  // namespace salvor
