#include "storage/s3/s3_errors.h"

#include "base/format.h"
#include "codec/xml_reader.h"
#include "storage/server_trouble.h"

namespace salvor {
namespace {

bool overloaded(const S3Failure& failure) {
  return failure.status == 429 || failure.status == 503 ||
         is_one_of(failure.code, {"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable",
                                  "Throttling", "ThrottlingException", "RequestLimitExceeded",
                                  "TooManyRequests", "BandwidthLimitExceeded"});
}

bool transient(const S3Failure& failure) {
  return overloaded(failure) || failure.status == 408 || failure.status == 500 ||
         failure.status == 502 || failure.status == 504 ||
         is_one_of(failure.code, {"InternalError", "RequestTimeout", "OperationAborted",
                                  "ConditionalRequestConflict", "IncompleteBody", "BadDigest",
                                  "XAmzContentSHA256Mismatch", "XMinioServerNotInitialized"});
}

struct Diagnosis {
  ErrorCode code = ErrorCode::kFailed;
  std::string hint;
};

Diagnosis diagnose_denied(const S3Settings& settings, const S3Failure& failure,
                          const std::string& action) {
  if (is_one_of(failure.code,
                {"InvalidAccessKeyId", "InvalidClientTokenId", "XAdminUserNotFound"})) {
    return {ErrorCode::kPermission,
            "The server does not know this access key. Check AWS_ACCESS_KEY_ID (or the profile), "
            "and that the key belongs to this server."};
  }
  if (failure.code == "SignatureDoesNotMatch") {
    return {ErrorCode::kPermission,
            "The secret key does not belong to the access key: check AWS_SECRET_ACCESS_KEY. "
            "(A proxy that changes requests would have the same effect.)"};
  }
  if (failure.expired()) {
    return {ErrorCode::kPermission,
            "The temporary credentials have expired. Get new ones, and set all three of "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."};
  }
  if (failure.wrong_token()) {
    return {ErrorCode::kPermission,
            "The session token is not one of this server, or does not belong to the access key. "
            "Check AWS_SESSION_TOKEN; with a permanent key it must not be set."};
  }
  if (failure.skewed_clock()) {
    return {
        ErrorCode::kPermission,
        "This machine's clock differs from the server's by more than 15 minutes. Set it (NTP)."};
  }
  if (failure.code == "AccountProblem" || failure.code == "InvalidPayer") {
    return {ErrorCode::kPermission, "The account is suspended or has not paid."};
  }
  return {ErrorCode::kPermission,
          "The credentials lack the right to " + action + " on bucket " +
              printable(settings.bucket) +
              (action == "s3:GetObject" ? ", or the object does not exist and they lack "
                                          "s3:ListBucket, which hides that"
                                        : "") +
              ". docs/storage-s3.md has the policy that is needed."};
}

Diagnosis diagnose(const S3Settings& settings, const S3Failure& failure,
                   const std::string& action) {
  const std::string bucket = printable(settings.bucket);
  if (failure.code == "NoSuchBucket") {
    return {ErrorCode::kNotFound, "There is no bucket " + bucket + " at " + settings.endpoint +
                                      ". Check its name and the host; \"salvor init\" makes it if "
                                      "the credentials may."};
  }
  if (failure.wrong_region()) {
    return {ErrorCode::kFailed,
            "The bucket is in another region" +
                (failure.region.empty() ? std::string() : ", " + printable(failure.region)) +
                ". Give it with -o s3.region=REGION, or use the region's own host."};
  }
  if (failure.code == "InvalidBucketName") {
    return {ErrorCode::kUsage, "Bucket names have 3 to 63 lower-case letters, digits and hyphens."};
  }
  if (failure.code == "InvalidObjectState") {
    return {ErrorCode::kFailed,
            "The object is in an archive class: restore it first (aws s3api restore-object), or "
            "keep packs out of archive classes."};
  }
  if (failure.status == 507 ||
      is_one_of(failure.code, {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage",
                               "XMinioAdminBucketQuotaExceeded"})) {
    return {ErrorCode::kStorageFull,
            "The server or the bucket's quota is full. Free some space (forget and prune old "
            "snapshots) and "
            "run the command again; nothing already stored is lost."};
  }
  if (is_one_of(failure.code,
                {"KMS.DisabledException", "KMS.NotFoundException", "KMS.InvalidStateException"})) {
    return {ErrorCode::kFailed, "Check the key that s3.sse-kms-key-id names."};
  }
  if (failure.code == "InvalidRequest" && !settings.lock_mode.empty()) {
    return {ErrorCode::kFailed,
            "Does the bucket have object lock? It is switched on when a bucket "
            "is made."};
  }
  if (failure.status == 401 || failure.status == 403 || failure.expired() ||
      failure.wrong_token() ||
      is_one_of(failure.code, {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch",
                               "XAdminUserNotFound"})) {
    return diagnose_denied(settings, failure, action);
  }
  if (failure.status == 404) {
    return {ErrorCode::kNotFound, ""};
  }
  return {};
}

}  // namespace

bool S3Failure::wrong_region() const {
  return status == 301 || status == 307 ||
         is_one_of(code,
                   {"PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException",
                    "AuthorizationHeaderMalformed", "InvalidRegionName"}) ||
         (status == 400 && code.empty() && !region.empty());
}

bool S3Failure::expired() const {
  return is_one_of(
      code, {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"});
}

bool S3Failure::wrong_token() const {
  return is_one_of(code, {"InvalidToken", "InvalidTokenId"});
}

bool S3Failure::skewed_clock() const {
  return is_one_of(code, {"RequestTimeTooSkewed"});
}

bool S3Failure::wrong_content() const {
  return is_one_of(code, {"BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest"});
}

S3Failure parse_s3_failure(const HttpResponse& response) {
  S3Failure failure{.status = response.status};
  failure.region = response.header("x-amz-bucket-region").value_or("");
  failure.code = response.header("x-minio-error-code").value_or("");  // MinIO's, to HEAD too
  if (!response.body.empty()) {
    try {
      const XmlElement root = parse_xml(as_text(response.body.view()));
      const XmlElement* error = root.name == "Error" ? &root : root.child("Error");
      if (error != nullptr) {
        failure.code = error->child_text("Code");
        failure.message = error->child_text("Message");
        if (failure.region.empty()) {
          failure.region = error->child_text("Region");
        }
      }
    } catch (const Error&) {
      failure.message = as_text(response.body.view()).substr(0, 200);  // a proxy's page, perhaps
    }
  }
  return failure;
}

Error s3_error(const S3Settings& settings, const S3Failure& failure, const HttpResponse& response,
               const std::string& what, const std::string& action) {
  std::string text = what + ": ";
  if (!failure.code.empty()) {
    text += printable(failure.code);
  } else {
    text += "status " + std::to_string(failure.status);
  }
  if (!failure.message.empty()) {
    std::string words = failure.message;
    while (words.ends_with('.') || words.ends_with('\n')) {
      words.pop_back();
    }
    text += " (" + printable(words) + ")";
  }
  if (transient(failure)) {
    return transient_error(std::move(text), overloaded(failure), response);
  }
  if (failure.foreign()) {
    return foreign_not_found(std::move(text));
  }
  Diagnosis diagnosis = diagnose(settings, failure, action);
  return {diagnosis.code, std::move(text), std::move(diagnosis.hint)};
}

}  // namespace salvor
