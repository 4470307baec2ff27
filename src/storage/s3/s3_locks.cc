#include "storage/s3/s3_locks.h"

#include <algorithm>
#include <charconv>

#include "codec/go_json.h"
#include "codec/xml_reader.h"
#include "crypto/sha256.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

struct ObjectLock {
  std::string mode;
  Retention retention;
};

// Nothing when there is no such object.
std::optional<ObjectLock> ask(const Context& context, S3Client& client, const std::string& key,
                              const std::string& what) {
  const HttpResponse response = client.execute(
      context, {.method = "HEAD", .key = key, .what = what, .action = "s3:GetObject"}, {404});
  if (!response.success()) {
    return std::nullopt;
  }
  ObjectLock lock;
  lock.mode = response.header("x-amz-object-lock-mode").value_or("");
  std::ranges::transform(lock.mode, lock.mode.begin(), ::toupper);
  const auto until =
      parse_go_time(response.header("x-amz-object-lock-retain-until-date").value_or(""));
  if (!lock.mode.empty() && until) {
    lock.retention.until = until->wall();
  }
  lock.retention.compliance = lock.mode == "COMPLIANCE";
  lock.retention.legal_hold = response.header("x-amz-object-lock-legal-hold") == "ON";
  return lock;
}

unsigned number_of(const std::string& text) {
  unsigned value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

S3LockState s3_lock_state(const Context& context, S3Client& client) {
  const S3Call call{.method = "GET",
                    .query = "object-lock=",
                    .what = "cannot ask for the object lock of " + client.settings().description(),
                    .action = "s3:GetBucketObjectLockConfiguration"};
  // 404: it has none; 400, 405, 501: the server knows no locks.
  const HttpResponse response = client.execute(context, call, {400, 403, 404, 405, 501});
  S3LockState state;
  if (!response.success()) {
    state.known = response.status == 403 ? S3LockState::Known::kDenied : S3LockState::Known::kNo;
    return state;
  }
  const XmlElement root = parse_xml(as_text(response.body.view()));
  state.known = root.child_text("ObjectLockEnabled") == "Enabled" ? S3LockState::Known::kYes
                                                                  : S3LockState::Known::kNo;
  const XmlElement* const rule = root.child("Rule");
  const XmlElement* const standard = rule != nullptr ? rule->child("DefaultRetention") : nullptr;
  if (standard != nullptr) {
    state.default_mode = standard->child_text("Mode");
    state.default_days = std::chrono::days(number_of(standard->child_text("Days")) +
                                           365 * number_of(standard->child_text("Years")));
  }
  return state;
}

std::optional<Retention> s3_retention(const Context& context, S3Client& client,
                                      const std::string& key, const std::string& what) {
  const auto lock = ask(context, client, key, what);
  if (!lock || (!lock->retention.until && !lock->retention.legal_hold)) {
    return std::nullopt;
  }
  return lock->retention;
}

void s3_extend_retention(const Context& context, S3Client& client, const std::string& key,
                         WallTime until, const std::string& what) {
  const auto lock = ask(context, client, key, what);
  if (!lock) {
    throw Error(ErrorCode::kNotFound, what + ": it does not exist");
  }
  if (lock->retention.until && *lock->retention.until >= until) {
    return;  // never shorter
  }
  std::string mode = lock->mode;
  if (mode.empty()) {
    mode = client.settings().lock_mode;
  }
  if (mode.empty()) {
    mode = s3_lock_state(context, client).default_mode;
  }
  const std::string xml = "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>" +
                          (mode == "COMPLIANCE" ? mode : std::string("GOVERNANCE")) +
                          "</Mode><RetainUntilDate>" + rfc3339_utc(until) +
                          "</RetainUntilDate></Retention>";
  const ByteView body = as_bytes(xml);
  (void)client.execute(context, {.method = "PUT",
                                 .key = key,
                                 .query = "retention=",
                                 .headers = {{"Content-MD5", md5_base64({&body, 1})}},
                                 .body = {&body, 1},
                                 .payload_sha256 = to_hex(sha256(body)),
                                 .what = what,
                                 .action = "s3:PutObjectRetention"});
}

}  // namespace salvor
