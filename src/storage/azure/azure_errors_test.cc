// Each error of the service is told with its cause and the next step (requirement O9).
#include "storage/azure/azure_errors.h"

#include <gmock/gmock.h>

namespace salvor::test {
namespace {

using ::testing::HasSubstr;

enum class Proof { kKey, kSignature, kToken };

Error error_of(Proof proof, const AzureFailure& failure) {
  const AzureSettings settings{
      .account = "a",
      .key = proof == Proof::kKey ? Secret("k") : Secret(),
      .sas = proof == Proof::kSignature ? Secret("sig=x") : Secret(),
      .container = "c",
      .lock_mode = "Unlocked",
  };
  return azure_error(settings, failure, {.status = failure.status}, "cannot write pack",
                     "c (create)");
}

TEST(AzureErrors, SayWhatToDo) {
  const struct {
    Proof proof;
    AzureFailure failure;
    ErrorCode code;
    const char* hint;
  } cases[] = {
      {Proof::kKey, {403, "AuthorizationFailure"}, ErrorCode::kPermission, "account's firewall"},
      {Proof::kKey,
       {403, "KeyBasedAuthenticationNotPermitted"},
       ErrorCode::kPermission,
       "does not allow its keys"},
      {Proof::kKey, {403, "AccountIsDisabled"}, ErrorCode::kPermission, "The account is disabled"},
      {Proof::kKey,
       {403, "AuthenticationFailed", "", "The Date header is too old"},
       ErrorCode::kPermission,
       "AZURE_ACCOUNT_KEY is not that of the account a"},
      {Proof::kKey,
       {403, "AuthenticationFailed", "", "date header in the request is incorrect"},
       ErrorCode::kPermission,
       "Set it (NTP)"},
      {Proof::kKey,
       {400, "InvalidAuthenticationInfo"},
       ErrorCode::kPermission,
       "AZURE_ACCOUNT_KEY"},
      {Proof::kKey,
       {409, "PublicAccessNotPermitted"},
       ErrorCode::kPermission,
       "Set AZURE_ACCOUNT_KEY"},
      {Proof::kSignature,
       {403, "AuthenticationFailed", "", "not in the specified time frame"},
       ErrorCode::kPermission,
       "has expired, or is not valid yet"},
      {Proof::kSignature,
       {403, "AuthenticationFailed"},
       ErrorCode::kPermission,
       "AZURE_ACCOUNT_SAS is wrong"},
      {Proof::kSignature,
       {403, "AuthorizationPermissionMismatch"},
       ErrorCode::kPermission,
       "lack the right c (create) on container c"},
      {Proof::kToken,
       {403, "AuthorizationPermissionMismatch"},
       ErrorCode::kPermission,
       "the role Storage Blob Data Contributor"},
      {Proof::kToken, {401, "InvalidAuthenticationInfo"}, ErrorCode::kPermission, "same tenant?"},
      {Proof::kToken, {401, "NoAuthenticationInformation"}, ErrorCode::kPermission, "same tenant?"},
      {Proof::kSignature,
       {401, "NoAuthenticationInformation"},
       ErrorCode::kPermission,
       "Set AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS"},
      {Proof::kKey, {404, "ContainerNotFound"}, ErrorCode::kNotFound, "no container c"},
      {Proof::kKey, {404, "BlobNotFound"}, ErrorCode::kNotFound, ""},
      {Proof::kKey, {412, "LeaseIdMissing"}, ErrorCode::kPermission, "break it first"},
      {Proof::kKey, {409, "SnapshotsPresent"}, ErrorCode::kFailed, "must be removed first"},
      {Proof::kKey, {409, "BlobArchived"}, ErrorCode::kFailed, "rehydrate it first"},
      {Proof::kKey, {409, "AccountLimitExceeded"}, ErrorCode::kStorageFull, "at its limit"},
      {Proof::kKey, {400, "UnsupportedHeader"}, ErrorCode::kFailed, "version-level immutability"},
      {Proof::kKey, {409, "BlobImmutableDueToPolicy"}, ErrorCode::kPermission, "not even prune"},
  };
  for (const auto& expected : cases) {
    const Error error = error_of(expected.proof, expected.failure);
    EXPECT_EQ(error.code(), expected.code) << error.message();
    EXPECT_THAT(error.hint(), HasSubstr(expected.hint)) << error.message();
    EXPECT_FALSE(error.retryable()) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("cannot write pack: " + expected.failure.code));
  }
}

TEST(AzureErrors, AProxysPageIsShownInPart) {
  HttpResponse response{.status = 403};
  response.body.append(as_bytes("<html><p>Blocked" + std::string(1000, '.')));
  const AzureFailure failure = parse_azure_failure(response);
  EXPECT_EQ(failure.code, "");
  EXPECT_THAT(error_of(Proof::kKey, failure).message(), HasSubstr("status 403 (<html><p>Blocked)"));
}

}  // namespace
}  // namespace salvor::test
