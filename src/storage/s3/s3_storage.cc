#include "storage/s3/s3_storage.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/format.h"
#include "codec/xml_reader.h"
#include "storage/bucket_storage.h"
#include "storage/s3/s3_client.h"
#include "storage/s3/s3_errors.h"
#include "storage/s3/s3_locks.h"
#include "storage/s3/s3_settings.h"
#include "storage/s3/s3_versions.h"

namespace salvor {
namespace {

constexpr uint64_t kLargestPut = uint64_t{5} << 30;
constexpr uint64_t kListReply = uint64_t{8} << 20;
constexpr size_t kDeleteAtOnce = 1000;

bool named_by_hash(ObjectKind kind) {
  return kind != ObjectKind::kConfig && kind != ObjectKind::kSalvor;
}

class S3Storage final : public BucketStorage {
 public:
  S3Storage(S3Settings settings, const StorageOptions& options)
      : BucketStorage({.description = settings.description(),
                       .prefix = settings.prefix,
                       .scheme = "s3",
                       .connections = settings.connections,
                       .as_of = settings.as_of}),
        client_(std::move(settings), options) {}

  void create(const Context& context) override;
  using BucketStorage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override;
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override;
  WallTime server_time(const Context& context) override { return client_.server_time(context); }

 private:
  void upload(const Context& context, const ObjectName& object, std::span<const ByteView> parts,
              bool if_absent) override;
  HttpResponse fetch(const Context& context, const ObjectName& object,
                     const Reading& reading) override;
  std::optional<uint64_t> size_of(const Context& context, const ObjectName& object) override;
  std::optional<uint64_t> size_of_rare(const Context& context, const ObjectName& object);
  void list_keys(const Context& context, const std::string& below, const OnKey& on_key) override;
  void remove_present(const Context& context, const ObjectName& object) override;
  PastObjectMap load_past(const Context& context, WallTime as_of) override {
    return s3_past(context, client_, as_of);
  }

  HttpResponse execute(const Context& context, const S3Call& call,
                       std::initializer_list<int> expected = {}) {
    return client_.execute(context, call, expected);
  }
  // Locks must be removable at any time.
  [[nodiscard]] bool is_kept(const ObjectName& object) const {
    return !settings_.lock_mode.empty() && object.kind != ObjectKind::kLock;
  }
  std::vector<HttpHeader> upload_headers(const ObjectName& object, std::span<const ByteView> parts,
                                         const Digest& digest);
  // One page; returns where the next one begins, nothing at the end.
  std::optional<std::string> list_page(const Context& context, const std::string& prefix,
                                       const std::string& from, const OnKey& on_key);
  void remove_batch(const Context& context, std::span<const ObjectName> objects);
  void remove_one_by_one(const Context& context, std::span<const ObjectName> objects) {
    BucketStorage::remove_many(context, objects);
  }
  bool may_be_locked(const Context& context);

  S3Client client_;
  const S3Settings& settings_ = client_.settings();
  std::atomic<bool> never_locked_ = false;
  std::atomic<bool> lock_asked_ = false;
  std::atomic<bool> conditional_refused_ = false;
  std::atomic<bool> conditional_proven_ = false;
  std::atomic<bool> multi_delete_refused_ = false;
};

// ---- writing ----

void S3Storage::create(const Context& context) {
  refuse_when_past();
  context.check_stopped();
  const std::string target = description();
  // Without the right to look, what follows will show whether the bucket is there.
  const HttpResponse response = execute(
      context, {.method = "HEAD", .what = "cannot look for " + target, .action = "s3:ListBucket"},
      {403, 404});
  if (response.status != 404) {
    return;
  }
  const std::string region = client_.region();
  std::string xml;
  if (settings_.aws && region != "us-east-1") {
    xml =
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        "<LocationConstraint>" +
        xml_escape(region) + "</LocationConstraint></CreateBucketConfiguration>";
  }
  const ByteView body = as_bytes(xml);
  S3Call call{
      .method = "PUT",
      .body = {&body, 1},
      .payload_sha256 = to_hex(sha256(body)),
      .what = "cannot make the bucket " + printable(settings_.bucket) + " at " + settings_.endpoint,
      .action = "s3:CreateBucket"};
  if (!settings_.lock_mode.empty()) {
    call.headers.push_back({"x-amz-bucket-object-lock-enabled", "true"});
  }
  (void)execute(context, call, {409});  // somebody was faster
}

std::vector<HttpHeader> S3Storage::upload_headers(const ObjectName& object,
                                                  std::span<const ByteView> parts,
                                                  const Digest& digest) {
  std::vector<HttpHeader> headers;
  if (settings_.md5) {
    headers.push_back({"Content-MD5", md5_base64(parts)});
  }
  if (settings_.checksum) {
    headers.push_back({"x-amz-checksum-sha256", to_base64(digest)});
  }
  if (!settings_.encryption.empty()) {
    headers.push_back({"x-amz-server-side-encryption", settings_.encryption});
  }
  if (!settings_.kms_key.empty()) {
    headers.push_back({"x-amz-server-side-encryption-aws-kms-key-id", settings_.kms_key});
  }
  if (!settings_.storage_class.empty() && object.kind == ObjectKind::kPack) {
    headers.push_back({"x-amz-storage-class", settings_.storage_class});
  }
  if (is_kept(object)) {
    headers.push_back({"x-amz-object-lock-mode", settings_.lock_mode});
  }
  return headers;
}

void S3Storage::upload(const Context& context, const ObjectName& object,
                       std::span<const ByteView> parts, bool if_absent) {
  if (total_size(parts) > kLargestPut) {
    throw Error(ErrorCode::kFailed, what("write", object) + ": more than 5 GiB");
  }
  Digest digest;
  if (named_by_hash(object.kind)) {
    (void)from_hex(object.name, digest);
  } else {
    digest = sha256_of(parts);
  }
  S3Call call{.method = "PUT",
              .key = key_of(object),
              .headers = upload_headers(object, parts, digest),
              .body = parts,
              .payload_sha256 = to_hex(digest),
              .what = what("write", object),
              .action = "s3:PutObject"};
  if (is_kept(object)) {
    call.lock_for = settings_.lock_days;
  }
  const bool conditional = if_absent && settings_.conditional_put && !conditional_refused_.load();
  if (conditional) {
    call.headers.push_back({"If-None-Match", "*"});
  }
  const HttpResponse response = execute(context, call, {412, 501});
  if (response.success()) {
    return;
  }
  const S3Failure failure = parse_s3_failure(response);
  if (response.status == 412 && conditional) {
    conditional_proven_ = true;
    accept_existing(context, object, parts);
    return;
  }
  if (response.status == 501 && conditional) {
    conditional_refused_ = true;
    upload(context, object, parts, if_absent);
    return;
  }
  throw s3_error(settings_, failure, response, call.what, call.action);
}

void S3Storage::put(const Context& context, const ObjectName& object,
                    std::span<const ByteView> parts) {
  check_call(context, object);
  refuse_when_past();
  // Without If-None-Match a put replaces. Servers that do not know it may ignore it.
  const bool replaces = !settings_.conditional_put || conditional_refused_;
  if (replaces || (!conditional_proven_ && !named_by_hash(object.kind))) {
    if (const auto existing_bytes = size_of_rare(context, object)) {
      check_existing(*this, context, object, *existing_bytes, parts);
      return;
    }
  }
  upload(context, object, parts, true);
}

// ---- reading ----

HttpResponse S3Storage::fetch(const Context& context, const ObjectName& object,
                              const Reading& reading) {
  S3Call call{.method = "GET",
              .key = key_of(object),
              .into = reading.into,
              .limit_bytes = reading.limit_bytes,
              .what = reading.what,
              .action = "s3:GetObject"};
  if (!reading.version.empty()) {
    call.query = "versionId=" + percent_encode(reading.version);
  }
  if (reading.range.empty()) {
    return execute(context, call);
  }
  call.headers.push_back({"Range", reading.range});
  return execute(context, call, {416});
}

std::optional<uint64_t> S3Storage::size_of(const Context& context, const ObjectName& object) {
  const S3Call call{.method = "HEAD",
                    .key = key_of(object),
                    .what = what("look for", object),
                    .action = "s3:GetObject"};
  return size_in(execute(context, call, {404}), call.what);
}

// As size_of, of what is most likely absent: the reply to GET says so in words, where a HEAD takes
// a second request to be sure.
std::optional<uint64_t> S3Storage::size_of_rare(const Context& context, const ObjectName& object) {
  const S3Call call{.method = "GET",
                    .key = key_of(object),
                    .headers = {{"Range", "bytes=0-0"}},
                    .limit_bytes = 1,
                    .what = what("look for", object),
                    .action = "s3:GetObject"};
  const HttpResponse response = execute(context, call, {403, 404, 416});
  if (response.status == 404) {
    return std::nullopt;
  }
  const std::string_view range = response.header("content-range").value_or("");  // "bytes 0-0/7"
  const auto size_bytes = parse_size(range.substr(range.find('/') + 1));
  return response.status == 206 && size_bytes ? size_bytes : size_of(context, object);
}

std::optional<std::string> S3Storage::list_page(const Context& context, const std::string& prefix,
                                                const std::string& from, const OnKey& on_key) {
  // Without encoding-type: servers do not agree on what a blank and a plus become under it.
  std::string query = settings_.list_v1 ? "max-keys=1000" : "list-type=2&max-keys=1000";
  query += "&prefix=" + percent_encode(prefix);
  if (!from.empty()) {
    query += (settings_.list_v1 ? "&marker=" : "&continuation-token=") + percent_encode(from);
  }
  const S3Call call{.method = "GET",
                    .query = query,
                    .limit_bytes = kListReply,
                    .what = "cannot list " + description(),
                    .action = "s3:ListBucket"};
  const HttpResponse response =
      from.empty() ? execute(context, call, {404}) : execute(context, call);
  if (response.status == 404) {
    return std::nullopt;  // no bucket yet, no objects
  }
  const auto refuse = [&](const std::string& why) {
    return Error(ErrorCode::kFailed, call.what + ": " + why,
                 "Does this host speak S3? For servers that only know the old listing there is "
                 "-o s3.list-objects-v1=true.");
  };
  XmlElement root;
  try {
    root = parse_xml(as_text(response.body.view()));
  } catch (const Error& error) {
    throw refuse(error.message());
  }
  if (root.name != "ListBucketResult" || response.cut) {
    throw refuse("the reply is not a listing");
  }
  std::string last;
  for (const XmlElement& element : root.children) {
    if (element.name != "Contents") {
      continue;
    }
    last = element.child_text("Key");
    const auto size_bytes = parse_size(element.child_text("Size"));
    if (!size_bytes) {
      throw refuse("the reply has no sizes");
    }
    if (last.starts_with(prefix)) {
      on_key(last, *size_bytes);
    }
  }
  if (root.child_text("IsTruncated") != "true") {
    return std::nullopt;
  }
  std::string next =
      settings_.list_v1 ? root.child_text("NextMarker") : root.child_text("NextContinuationToken");
  if (settings_.list_v1 && next.empty()) {
    next = last;
  }
  if (next.empty() || next == from) {
    throw refuse("the listing does not go on");
  }
  return next;
}

void S3Storage::list_keys(const Context& context, const std::string& below, const OnKey& on_key) {
  std::optional<std::string> from = "";
  while (from) {
    from = list_page(context, below, *from, on_key);
  }
}

// ---- object lock ----

bool S3Storage::may_be_locked(const Context& context) {
  if (!lock_asked_) {
    never_locked_ = !s3_lock_state(context, client_).may_be_locked();
    lock_asked_ = true;
  }
  return !never_locked_;
}

std::optional<Retention> S3Storage::retention(const Context& context, const ObjectName& object) {
  check_call(context, object);
  if (reads_past() || !may_be_locked(context)) {
    return std::nullopt;
  }
  return s3_retention(context, client_, key_of(object), what("look for", object));
}

void S3Storage::extend_retention(const Context& context, const ObjectName& object, WallTime until) {
  check_call(context, object);
  refuse_when_past();
  if (!may_be_locked(context)) {
    Storage::extend_retention(context, object, until);
  }
  s3_extend_retention(
      context, client_, key_of(object), until,
      "cannot extend the protection of " + object.display() + " in " + description());
}

// ---- removing ----

void S3Storage::remove_present(const Context& context, const ObjectName& object) {
  (void)execute(context,
                {.method = "DELETE",
                 .key = key_of(object),
                 .what = what("remove", object),
                 .action = "s3:DeleteObject"},
                {404});
}

void S3Storage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  context.check_stopped();
  refuse_when_past();
  for (const ObjectName& object : objects) {
    check_call(context, object);
  }
  while (!objects.empty()) {
    const auto batch = objects.first(std::min(objects.size(), kDeleteAtOnce));
    objects = objects.subspan(batch.size());
    if (batch.size() == 1 || multi_delete_refused_) {
      remove_one_by_one(context, batch);
    } else {
      remove_batch(context, batch);
    }
  }
}

void S3Storage::remove_batch(const Context& context, std::span<const ObjectName> objects) {
  std::string xml = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
  for (const ObjectName& object : objects) {
    xml += "<Object><Key>" + xml_escape(key_of(object)) + "</Key></Object>";
  }
  xml += "</Delete>";
  const ByteView body = as_bytes(xml);
  const S3Call call{
      .method = "POST",
      .query = "delete=",
      .headers = {{"Content-MD5", md5_base64({&body, 1})}, {"Content-Type", "application/xml"}},
      .body = {&body, 1},
      .payload_sha256 = to_hex(sha256(body)),
      .limit_bytes = kListReply,
      .what = "cannot remove " + std::to_string(objects.size()) + " objects from " + description(),
      .action = "s3:DeleteObject"};
  const HttpResponse response = execute(context, call, {404, 405, 501});
  if (!response.success()) {
    const S3Failure failure = parse_s3_failure(response);
    if (failure.code == "NoSuchBucket") {
      throw s3_error(settings_, failure, response, call.what, call.action);
    }
    multi_delete_refused_ = true;
    remove_one_by_one(context, objects);
    return;
  }
  if (response.body.empty()) {
    return;
  }
  const XmlElement root = parse_xml(as_text(response.body.view()));
  for (const XmlElement& element : root.children) {
    if (element.name != "Error" || element.child_text("Code") == "NoSuchKey") {
      continue;
    }
    S3Failure failure{.status = 200,
                      .code = element.child_text("Code"),
                      .message = element.child_text("Message")};
    throw s3_error(
        settings_, failure, response,
        "cannot remove " + printable(element.child_text("Key")) + " from " + description(),
        call.action);
  }
}

}  // namespace

std::unique_ptr<Storage> open_s3_storage(std::string_view rest, const StorageOptions& options) {
  return std::make_unique<S3Storage>(s3_settings(rest, options), options);
}

}  // namespace salvor
