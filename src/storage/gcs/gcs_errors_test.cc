// Each error of the service is told with its cause and the next step (requirement O9).
#include "storage/gcs/gcs_errors.h"

#include <gmock/gmock.h>

namespace salvor::test {
namespace {

using ::testing::HasSubstr;

Error error_of(const GcsFailure& failure, bool anonymous = false) {
  const GcsSettings settings{.bucket = "b", .anonymous = anonymous, .lock_mode = "Unlocked"};
  return gcs_error(settings, failure, {.status = failure.status}, "cannot write pack",
                   "storage.objects.create");
}

TEST(GcsErrors, SayWhatToDo) {
  const struct {
    GcsFailure failure;
    ErrorCode code;
    const char* hint;
  } cases[] = {
      {{.status = 401}, ErrorCode::kPermission, "gcloud auth print-access-token"},
      {{403, "retentionPolicyNotMet"}, ErrorCode::kPermission, "kept by a retention policy"},
      {{403, "accountDisabled"}, ErrorCode::kPermission, "no working billing account"},
      {{403, "vpcServiceControls"}, ErrorCode::kPermission, "service perimeter forbids it"},
      {{403, "forbidden"}, ErrorCode::kPermission, "lack the permission storage.objects.create"},
      {{.status = 404, .no_bucket = true}, ErrorCode::kNotFound, "There is no bucket b"},
      {{404, "notFound"}, ErrorCode::kNotFound, ""},
      {{400, "userProjectMissing"}, ErrorCode::kPermission, "-o gs.user-project=PROJECT"},
      {{.status = 412}, ErrorCode::kFailed, "--enable-per-object-retention"},
      {{400, "invalid", "the bucket has no retention"}, ErrorCode::kFailed, "no object retention"},
      {{400, "invalid"}, ErrorCode::kFailed, ""},
  };
  for (const auto& expected : cases) {
    const Error error = error_of(expected.failure);
    EXPECT_EQ(error.code(), expected.code) << error.message();
    EXPECT_THAT(error.hint(), HasSubstr(expected.hint)) << error.message();
    EXPECT_FALSE(error.retryable()) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("cannot write pack: status "));
  }
  EXPECT_THAT(error_of({.status = 401}, true).hint(), HasSubstr("The bucket is not public"));
}

TEST(GcsErrors, WhatPassesIsTriedAgain) {
  for (const GcsFailure& failure :
       {GcsFailure{403, "rateLimitExceeded"}, GcsFailure{.status = 429}}) {
    EXPECT_TRUE(error_of(failure).retryable());
    EXPECT_TRUE(error_of(failure).advice().slow_down);
  }
  const Error changed = error_of({400, "invalid", "Provided CRC32C does not match"});
  EXPECT_TRUE(changed.retryable()) << "the body was changed on the way";
  EXPECT_FALSE(changed.advice().slow_down);
}

}  // namespace
}  // namespace salvor::test
