// Each error of a server is told with its cause and the next step (requirement O9).
#include "storage/s3/s3_errors.h"

#include <gmock/gmock.h>

namespace salvor::test {
namespace {

using ::testing::HasSubstr;

S3Settings settings() {
  return {.endpoint = "s3.example.com", .bucket = "b", .lock_mode = "GOVERNANCE"};
}

Error error_of(const S3Failure& failure, const std::string& action = "s3:PutObject") {
  return s3_error(settings(), failure, {.status = failure.status}, "cannot write pack", action);
}

TEST(S3Errors, SayWhatToDo) {
  const struct {
    S3Failure failure;
    ErrorCode code;
    const char* hint;
  } cases[] = {
      {{403, "InvalidAccessKeyId"}, ErrorCode::kPermission, "Check AWS_ACCESS_KEY_ID"},
      {{403, "SignatureDoesNotMatch"}, ErrorCode::kPermission, "check AWS_SECRET_ACCESS_KEY"},
      {{400, "ExpiredToken"}, ErrorCode::kPermission, "have expired. Get new ones"},
      {{400, "InvalidToken"}, ErrorCode::kPermission, "Check AWS_SESSION_TOKEN"},
      {{403, "RequestTimeTooSkewed"}, ErrorCode::kPermission, "Set it (NTP)"},
      {{403, "AccountProblem"}, ErrorCode::kPermission, "suspended or has not paid"},
      {{403, "AccessDenied"}, ErrorCode::kPermission, "lack the right to s3:PutObject on bucket b"},
      {{404, "NoSuchBucket"}, ErrorCode::kNotFound, "no bucket b at s3.example.com"},
      {{404, "NoSuchKey"}, ErrorCode::kNotFound, ""},
      {{301, "PermanentRedirect", "", "eu-west-1"},
       ErrorCode::kFailed,
       "another region, eu-west-1"},
      {{400, "AuthorizationHeaderMalformed"},
       ErrorCode::kFailed,
       "in another region. Give it with"},
      {{400, "InvalidBucketName"}, ErrorCode::kUsage, "3 to 63 lower-case letters"},
      {{403, "InvalidObjectState"}, ErrorCode::kFailed, "restore it first"},
      {{507, ""}, ErrorCode::kStorageFull, "nothing already stored is lost"},
      {{400, "QuotaExceeded"}, ErrorCode::kStorageFull, "quota is full"},
      {{400, "KMS.DisabledException"}, ErrorCode::kFailed, "s3.sse-kms-key-id"},
      {{400, "InvalidRequest"}, ErrorCode::kFailed, "Does the bucket have object lock?"},
      {{400, "MalformedXML"}, ErrorCode::kFailed, ""},
  };
  for (const auto& expected : cases) {
    const Error error = error_of(expected.failure);
    EXPECT_EQ(error.code(), expected.code) << error.message();
    EXPECT_THAT(error.hint(), HasSubstr(expected.hint)) << error.message();
    EXPECT_FALSE(error.retryable()) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("cannot write pack: "));
  }
  // What a reader may not list is answered as if it were forbidden.
  EXPECT_THAT(error_of({403, "AccessDenied"}, "s3:GetObject").hint(), HasSubstr("s3:ListBucket"));
}

TEST(S3Errors, WhatPassesIsTriedAgain) {
  for (const S3Failure& failure : {S3Failure{503, "SlowDown"}, S3Failure{429}}) {
    EXPECT_TRUE(error_of(failure).retryable());
    EXPECT_TRUE(error_of(failure).advice().slow_down);
  }
  for (const S3Failure& failure : {S3Failure{500}, S3Failure{400, "BadDigest"}, S3Failure{408}}) {
    EXPECT_TRUE(error_of(failure).retryable());
    EXPECT_FALSE(error_of(failure).advice().slow_down);
  }
}

TEST(S3Errors, AProxysPageIsShownInPart) {
  HttpResponse response{.status = 502};
  response.body.append(as_bytes("<html><p>Bad Gateway" + std::string(1000, '.')));
  const S3Failure failure = parse_s3_failure(response);
  EXPECT_EQ(failure.code, "");
  EXPECT_EQ(failure.message.size(), 200U);
  EXPECT_THAT(error_of(failure).message(), HasSubstr("status 502 (<html><p>Bad Gateway)"));
}

}  // namespace
}  // namespace salvor::test
