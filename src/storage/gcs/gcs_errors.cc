#include "storage/gcs/gcs_errors.h"

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "storage/server_trouble.h"

namespace salvor {
namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

bool overloaded(const GcsFailure& failure) {
  return failure.status == 429 || failure.status == 503 || failure.reason == "rateLimitExceeded" ||
         failure.reason == "userRateLimitExceeded";
}

// A checksum that does not match means that the body was changed on the way.
bool wrong_content(const GcsFailure& failure) {
  return failure.status == 400 &&
         (has(failure.message, "CRC32C") || has(failure.message, "crc32c") ||
          has(failure.message, "MD5") || has(failure.message, "checksum"));
}

bool transient(const GcsFailure& failure) {
  return overloaded(failure) || failure.status == 408 || failure.status >= 500 ||
         wrong_content(failure);
}

struct Diagnosis {
  ErrorCode code = ErrorCode::kFailed;
  std::string hint;
};

Diagnosis diagnose_denied(const GcsSettings& settings, const GcsFailure& failure,
                          const std::string& permission) {
  if (failure.status == 401 && settings.anonymous) {
    return {ErrorCode::kPermission, "The bucket is not public: give credentials."};
  }
  if (failure.status == 401) {
    return {ErrorCode::kPermission,
            "The access token is wrong or has expired. One in GOOGLE_ACCESS_TOKEN lasts an hour: "
            "get another (gcloud auth print-access-token), or use a service account's key file."};
  }
  if (failure.reason == "retentionPolicyNotMet" || has(failure.message, "retention")) {
    return {ErrorCode::kPermission,
            "The object is kept by a retention policy until the time that the message names. "
            "Nobody, not even prune, can remove it before."};
  }
  if (has(failure.message, "billing account") || failure.reason == "accountDisabled") {
    return {ErrorCode::kPermission, "The bucket's project has no working billing account."};
  }
  if (failure.reason == "vpcServiceControls" || has(failure.message, "organization's policy")) {
    return {ErrorCode::kPermission, "The organisation's service perimeter forbids it from here."};
  }
  return {ErrorCode::kPermission, "The credentials lack the permission " + permission +
                                      " on bucket " + printable(settings.bucket) +
                                      ". docs/storage-gcs.md has the role that is needed."};
}

Diagnosis diagnose(const GcsSettings& settings, const GcsFailure& failure,
                   const std::string& permission) {
  if (failure.no_bucket) {
    return {ErrorCode::kNotFound,
            "There is no bucket " + printable(settings.bucket) +
                ". Check its name; \"salvor init\" makes it if the credentials may and "
                "GOOGLE_PROJECT_ID names the project."};
  }
  if (failure.reason == "userProjectMissing" || has(failure.message, "requester pays")) {
    return {ErrorCode::kPermission,
            "Who asks pays for this bucket: name a project with -o gs.user-project=PROJECT."};
  }
  if (failure.status == 401 || failure.status == 403) {
    return diagnose_denied(settings, failure, permission);
  }
  if (failure.status == 404) {
    return {ErrorCode::kNotFound, ""};
  }
  if (failure.status == 412 && !settings.lock_mode.empty()) {
    return {ErrorCode::kFailed,
            "Does the bucket have object retention? It is switched on when a bucket is made, or "
            "with: gcloud storage buckets update --enable-per-object-retention."};
  }
  if (has(failure.message, "retention") && !settings.lock_mode.empty()) {
    return {ErrorCode::kFailed, "The bucket has no object retention: see docs/storage-gcs.md."};
  }
  return {};
}

}  // namespace

GcsFailure parse_gcs_failure(const HttpResponse& response) {
  GcsFailure failure{.status = response.status};
  const std::string_view text = as_text(response.body.view());
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto word = [](const nlohmann::json& from, const char* key) {
    return from.is_object() && from.contains(key) && from.at(key).is_string()
               ? from.at(key).get<std::string>()
               : std::string();
  };
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    const auto& error = json["error"];
    failure.message = word(error, "message");
    if (error.contains("errors") && error["errors"].is_array() && !error["errors"].empty()) {
      failure.reason = word(error["errors"].front(), "reason");
    }
    if (failure.reason.empty()) {
      failure.reason = word(error, "status");  // "NOT_FOUND": without a list of errors
    }
  } else {
    failure.message = text.substr(0, 200);  // downloads answer in plain text, proxies in HTML
  }
  while (failure.message.ends_with('.') || failure.message.ends_with('\n')) {
    failure.message.pop_back();
  }
  failure.no_bucket = failure.status == 404 && !failure.reason.empty() &&
                      has(failure.message, "bucket does not exist");
  return failure;
}

Error gcs_error(const GcsSettings& settings, const GcsFailure& failure,
                const HttpResponse& response, const std::string& what,
                const std::string& permission) {
  std::string text = what + ": status " + std::to_string(failure.status);
  if (!failure.reason.empty()) {
    text += " " + printable(failure.reason);
  }
  if (!failure.message.empty()) {
    text += " (" + printable(failure.message) + ")";
  }
  if (transient(failure)) {
    return transient_error(std::move(text), overloaded(failure), response);
  }
  if (failure.foreign()) {
    return foreign_not_found(std::move(text));
  }
  Diagnosis diagnosis = diagnose(settings, failure, permission);
  return {diagnosis.code, std::move(text), std::move(diagnosis.hint)};
}

}  // namespace salvor
