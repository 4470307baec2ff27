// AWS Signature Version 4 in headers, for S3 and what speaks like it, and other AWS services.
//
// Own code because libcurl's signs some requests wrongly (headers whose names are prefixes of each
// other, queries that are not sorted, uploads by callback). Source: AWS, "Create a signed AWS API
// request"; proven with the vectors of AWS's signing test suite (tests/data/sigv4.json).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "net/http_client.h"

namespace salvor {

struct AwsCredentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;  // empty for long-lived keys
};

// SHA-256 of no bytes, in hexadecimal: the payload hash of requests without a body.
inline constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct SigV4Request {
  std::string_view method;
  std::string_view host;   // with the port unless it is the scheme's own; as it is sent
  std::string_view path;   // %-encoded, as it is sent
  std::string_view query;  // without "?", %-encoded, in any order, as it is sent; may be empty
  // All of them are signed: leave out what proxies may change (User-Agent, Connection). Without
  // Host, X-Amz-Date, X-Amz-Security-Token and X-Amz-Content-Sha256.
  std::span<const HttpHeader> headers;
  std::string_view payload_sha256 = kEmptySha256;  // hexadecimal, or UNSIGNED-PAYLOAD
};

struct SigV4Options {
  std::string_view region;
  std::string_view service = "s3";
  WallTime time;  // must be within 15 minutes of the server's
  // S3 takes the path as it is and wants the payload's hash as a header. Other services do not, and
  // want the path encoded once more, without "." and "..".
  bool content_header = true;
  bool encode_path_again = false;
  bool normalize_path = false;
};

struct SigV4Signature {
  std::vector<HttpHeader> headers;  // to be added to the request (Host is the HTTP client's)
  std::string canonical_request;    // what was signed, to compare with what a server says it saw
  std::string string_to_sign;
};

[[nodiscard]] SigV4Signature sign_v4(const AwsCredentials& credentials, const SigV4Request& request,
                                     const SigV4Options& options);

}  // namespace salvor
