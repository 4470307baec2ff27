#include "storage/azure/azure_errors.h"

#include "base/format.h"
#include "codec/xml_reader.h"
#include "storage/server_trouble.h"

namespace salvor {
namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

bool overloaded(const AzureFailure& failure) {
  return failure.status == 429 || failure.status == 503 || failure.code == "ServerBusy";
}

bool transient(const AzureFailure& failure) {
  return overloaded(failure) || failure.status == 408 || failure.status >= 500 ||
         is_one_of(failure.code, {"Md5Mismatch", "OperationTimedOut", "InternalError",
                                  "ContainerBeingDeleted", "BlobBeingRehydrated"});
}

struct Diagnosis {
  ErrorCode code = ErrorCode::kFailed;
  std::string hint;
};

Diagnosis diagnose_denied(const AzureSettings& settings, const AzureFailure& failure,
                          const std::string& right) {
  const std::string words = failure.message + " " + failure.detail;
  if (failure.code == "AuthorizationFailure" && !settings.key.empty()) {
    return {ErrorCode::kPermission,
            "The account's firewall does not let this machine in (see its networking settings in "
            "the portal), or AZURE_ACCOUNT_KEY is not its key."};
  }
  const bool by_token = settings.key.empty() && settings.sas.empty();
  if (by_token && failure.code == "AuthorizationPermissionMismatch") {
    return {ErrorCode::kPermission,
            "The identity lacks the right " + right + " on container " +
                printable(settings.container) +
                ": give it the role Storage Blob Data Contributor there, or the narrower one of "
                "docs/storage-azure.md."};
  }
  if (by_token && failure.status == 401) {
    return {ErrorCode::kPermission,
            "The storage account does not take this identity's token: is it of the same tenant?"};
  }
  if (failure.code == "KeyBasedAuthenticationNotPermitted") {
    return {ErrorCode::kPermission, "The account does not allow its keys to be used."};
  }
  if (failure.code == "AccountIsDisabled") {
    return {ErrorCode::kPermission, "The account is disabled, most likely for billing."};
  }
  if (has(words, "date header")) {
    return {ErrorCode::kPermission,
            "This machine's clock differs from the server's by more than 15 minutes. Set it "
            "(NTP)."};
  }
  if (failure.code == "AuthenticationFailed" && !settings.sas.empty()) {
    return {ErrorCode::kPermission,
            has(words, "time frame")
                ? "The shared access signature has expired, or is not valid yet. Make a new one."
                : "The shared access signature in AZURE_ACCOUNT_SAS is wrong, has expired or its "
                  "key was changed. Make a new one."};
  }
  if (is_one_of(failure.code, {"AuthenticationFailed", "InvalidAuthenticationInfo"})) {
    return {ErrorCode::kPermission, "The key in AZURE_ACCOUNT_KEY is not that of the account " +
                                        printable(settings.account) + ", or was changed."};
  }
  if (is_one_of(failure.code, {"PublicAccessNotPermitted", "NoAuthenticationInformation"})) {
    return {ErrorCode::kPermission, "Set AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS."};
  }
  return {ErrorCode::kPermission, "The credentials lack the right " + right + " on container " +
                                      printable(settings.container) +
                                      ". docs/storage-azure.md has those that are needed."};
}

Diagnosis diagnose(const AzureSettings& settings, const AzureFailure& failure,
                   const std::string& right) {
  if (failure.code == "ContainerNotFound") {
    return {ErrorCode::kNotFound,
            "There is no container " + printable(settings.container) + " in the account " +
                printable(settings.account) +
                ". Check the names; \"salvor init\" makes it if the credentials may."};
  }
  if (is_one_of(failure.code, {"BlobImmutableDueToPolicy", "ContainerImmutableStorage",
                               "BlobImmutableDueToLegalHold"})) {
    return {ErrorCode::kPermission,
            "An immutability policy or a legal hold keeps the blob. Nobody, not even prune, can "
            "remove it before the policy ends."};
  }
  if (is_one_of(failure.code, {"LeaseIdMissing", "LeaseIdMismatchWithBlobOperation"})) {
    return {ErrorCode::kPermission, "Somebody holds a lease on the blob: break it first."};
  }
  if (failure.code == "SnapshotsPresent") {
    return {ErrorCode::kFailed, "The blob has snapshots, which must be removed first."};
  }
  if (failure.code == "BlobArchived") {
    return {ErrorCode::kFailed,
            "The blob is in the Archive tier: rehydrate it first (az storage blob set-tier), or "
            "keep packs out of that tier."};
  }
  if (is_one_of(failure.code, {"AccountBeingCreated", "AccountLimitExceeded"})) {
    return {ErrorCode::kStorageFull, "The account is at its limit."};
  }
  if (!settings.lock_mode.empty() &&
      is_one_of(failure.code, {"UnsupportedHeader", "FeatureNotSupported",
                               "ImmutableStorageWithVersioningNotEnabled", "InvalidHeaderValue"})) {
    return {ErrorCode::kFailed,
            "Does the container have version-level immutability? It is switched on when a "
            "container is made: see docs/storage-azure.md."};
  }
  if (failure.status == 401 || failure.status == 403 ||
      is_one_of(failure.code, {"InvalidAuthenticationInfo", "PublicAccessNotPermitted"})) {
    return diagnose_denied(settings, failure, right);
  }
  if (failure.status == 404) {
    return {ErrorCode::kNotFound, ""};
  }
  return {};
}

}  // namespace

AzureFailure parse_azure_failure(const HttpResponse& response) {
  AzureFailure failure{.status = response.status};
  failure.code = response.header("x-ms-error-code").value_or("");
  if (!response.body.empty()) {
    try {
      const XmlElement root = parse_xml(as_text(response.body.view()));
      if (failure.code.empty()) {
        failure.code = root.child_text("Code");
      }
      failure.message = root.child_text("Message");
      failure.detail = root.child_text("AuthenticationErrorDetail");
    } catch (const Error&) {
      failure.message = as_text(response.body.view()).substr(0, 200);  // a proxy's page, perhaps
    }
  }
  // The second and third line are the request's number and the time.
  failure.message.resize(std::min(failure.message.find('\n'), failure.message.size()));
  while (failure.message.ends_with('.') || failure.message.ends_with('\r')) {
    failure.message.pop_back();
  }
  return failure;
}

Error azure_error(const AzureSettings& settings, const AzureFailure& failure,
                  const HttpResponse& response, const std::string& what, const std::string& right) {
  std::string text = what + ": ";
  text +=
      failure.code.empty() ? "status " + std::to_string(failure.status) : printable(failure.code);
  if (!failure.message.empty()) {
    text += " (" + printable(failure.message) + ")";
  }
  if (transient(failure)) {
    return transient_error(std::move(text), overloaded(failure), response);
  }
  if (failure.foreign()) {
    return foreign_not_found(std::move(text));
  }
  Diagnosis diagnosis = diagnose(settings, failure, right);
  return {diagnosis.code, std::move(text), std::move(diagnosis.hint)};
}

}  // namespace salvor
