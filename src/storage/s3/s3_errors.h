// What S3 servers answer when something is wrong, in words that name cause and next step.
#pragma once

#include <string>

#include "base/error.h"
#include "net/http_client.h"
#include "storage/s3/s3_settings.h"

namespace salvor {

// What an S3 error reply says. HEAD has no body, so then only the status is known.
struct S3Failure {
  int status = 0;
  std::string code;     // "NoSuchKey"
  std::string message;  // the server's own words
  std::string region;   // of the bucket, where the reply names it
  bool there = false;   // it was there when the same was asked by GET

  // Whether the request was signed for the wrong region or sent to the wrong address.
  [[nodiscard]] bool wrong_region() const;
  // Whether the credentials have run out (as opposed to being wrong).
  [[nodiscard]] bool expired() const;
  [[nodiscard]] bool wrong_token() const;
  [[nodiscard]] bool skewed_clock() const;
  // Whether the body did not match the hash that was sent with it.
  [[nodiscard]] bool wrong_content() const;
  // Whether it is a 404 that no S3 server gave: those name a code.
  [[nodiscard]] bool foreign() const { return status == 404 && code.empty(); }
};

[[nodiscard]] S3Failure parse_s3_failure(const HttpResponse& response);

// `what`: "cannot write pack 1a2b3c4d to S3 bucket b at host"; `action`: the right that the request
// needs, "s3:PutObject". With Error::advice for what may be tried again.
[[nodiscard]] Error s3_error(const S3Settings& settings, const S3Failure& failure,
                             const HttpResponse& response, const std::string& what,
                             const std::string& action);

}  // namespace salvor
