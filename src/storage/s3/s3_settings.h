// Where an S3 repository is and how it is to be treated: the URL and the options.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "storage/storage_options.h"

namespace salvor {

enum class S3Addressing : uint8_t { kPath, kHost };  // host/bucket/key or bucket.host/key

struct S3Settings {
  bool tls = true;
  std::string endpoint;  // host, with the port unless it is the scheme's own
  std::string bucket;
  std::string prefix;  // without slashes at its ends; may be empty
  bool aws = false;    // the endpoint is Amazon's
  S3Addressing addressing = S3Addressing::kPath;
  std::string region;         // where the requests are signed for at first
  bool region_fixed = false;  // given by a person, or known from the endpoint
  std::string storage_class;  // of packs; empty: the bucket's own
  bool list_v1 = false;
  bool anonymous = false;
  bool conditional_put = true;  // If-None-Match
  bool checksum = false;        // x-amz-checksum-sha256
  bool md5 = false;             // Content-MD5
  std::string encryption;       // x-amz-server-side-encryption
  std::string kms_key;
  std::string lock_mode;  // GOVERNANCE, COMPLIANCE or empty
  std::chrono::days lock_days{0};
  std::optional<WallTime> as_of;  // read what was there then
  unsigned connections = 8;

  [[nodiscard]] std::string description() const;  // "S3 bucket b/prefix at host"
};

// `rest` is what follows "s3:": "host/bucket/prefix", "//host/bucket", "https://host:9000/bucket"
// or "http://..." (only then without TLS). Throws Error{kUsage}.
[[nodiscard]] S3Settings s3_settings(std::string_view rest, const StorageOptions& options);

// "eu-west-1" of "s3.eu-west-1.amazonaws.com" and its older and dual-stack forms; else "".
[[nodiscard]] std::string region_of_endpoint(std::string_view endpoint);

}  // namespace salvor
