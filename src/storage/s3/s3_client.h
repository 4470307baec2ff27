// Requests to an S3 server: signed, and mended where a reply says how.
#pragma once

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "crypto/sha256.h"
#include "net/http_client.h"
#include "net/sigv4.h"
#include "storage/s3/s3_credentials.h"
#include "storage/s3/s3_errors.h"
#include "storage/s3/s3_settings.h"
#include "storage/server_clock.h"

namespace salvor {

// One request, as far as it does not depend on region, address and credentials.
struct S3Call {
  std::string method;
  std::string key;    // in the bucket; empty: the bucket itself
  std::string query;  // %-encoded
  std::vector<HttpHeader> headers;
  std::span<const ByteView> body;
  std::string payload_sha256{kEmptySha256};
  // What is stored is locked for so long, from the server's present.
  std::optional<std::chrono::seconds> lock_for;
  std::optional<MutableBytes> into;
  uint64_t limit_bytes = uint64_t{1} << 20;
  std::string what;    // for messages
  std::string action;  // the right it needs
};

// Thread-safe. The region is learnt from the server's refusal, expired credentials are fetched
// anew, and a wrong clock is corrected by the server's, each once and without an error. Does not
// try again otherwise.
//
// That something is missing is believed only in the server's own words: `execute` throws
// Error{kUnreachable} for a 404 without a code, `expected` or not, and for a bucket that is missing
// after it has been there. As the reply to HEAD has no words, a 404 to it costs a second request.
class S3Client {
 public:
  S3Client(S3Settings settings, const StorageOptions& options);

  [[nodiscard]] const S3Settings& settings() const { return settings_; }
  // Sends, and mends what can be mended at once. Any status that is neither a success nor one of
  // `expected` is thrown (s3_error).
  HttpResponse execute(const Context& context, const S3Call& call,
                       std::initializer_list<int> expected = {});
  // The same, and whatever comes back is returned: for finding out what is permitted.
  HttpResponse attempt(const Context& context, const S3Call& call);
  // Where requests are signed for now.
  [[nodiscard]] std::string region() const;
  // What time it is for the server; asks when it has not answered anything yet.
  [[nodiscard]] WallTime server_time(const Context& context);

  // The key in the bucket of a path in the repository.
  [[nodiscard]] std::string key_of(const std::string& path) const {
    return settings_.prefix.empty() ? path : settings_.prefix + "/" + path;
  }

 private:
  // What a request was signed with. Others may have mended it since.
  struct Signing {
    std::string region;
    std::chrono::nanoseconds clock_offset{};
    std::string key_id;
  };
  struct Reply {
    HttpResponse response;
    Signing signing;
  };

  [[nodiscard]] std::string host() const;
  void use_region(const std::string& region);
  Reply send(const Context& context, const S3Call& call);
  // What the reply to a failed call means, by a second request when it does not say.
  S3Failure reason_of(const Context& context, const S3Call& call, const HttpResponse& response,
                      bool awaited);
  // The last reply, after what could be mended.
  HttpResponse send_mended(const Context& context, const S3Call& call);
  S3Failure ask_reason(const Context& context, const S3Call& call, const S3Failure& failure);
  // A body that the server found to be another than was signed: changed on the way (which may be
  // tried again), or wrong from the start.
  static void check_content(const S3Call& call, const S3Failure& failure);
  bool mend(const Context& context, const S3Call& call, const S3Failure& failure,
            const Reply& reply, unsigned attempt);
  std::string ask_region(const Context& context);

  const S3Settings settings_;
  AwsCredentialSource credentials_;
  HttpClient client_;
  std::atomic<bool> bucket_seen_ = false;

  ServerClock clock_;

  mutable std::mutex mutex_;
  std::string region_;  // under mutex_
};

[[nodiscard]] Digest sha256_of(std::span<const ByteView> parts);
// "Content-MD5" of a body.
[[nodiscard]] std::string md5_base64(std::span<const ByteView> parts);

}  // namespace salvor
