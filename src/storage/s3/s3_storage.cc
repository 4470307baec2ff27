#include "storage/s3/s3_storage.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/format.h"
#include "codec/xml_reader.h"
#include "crypto/sha256.h"
#include "storage/layout.h"
#include "storage/ranged_read.h"
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
constexpr unsigned kDeleteThreads = 8;

Digest sha256_of(std::span<const ByteView> parts) {
  Sha256 hash;
  for (const ByteView part : parts) {
    hash.update(part);
  }
  return hash.finish();
}

bool named_by_hash(ObjectKind kind) {
  return kind != ObjectKind::kConfig && kind != ObjectKind::kSalvor;
}

class S3Storage final : public Storage {
 public:
  S3Storage(S3Settings settings, const StorageOptions& options)
      : client_(std::move(settings), options) {
    if (settings_.as_of) {
      past_ = std::make_unique<PastObjects>(
          [this](const Context& context) { return s3_past(context, client_, *settings_.as_of); });
    }
  }

  using Storage::put;
  void create(const Context& context) override;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override;
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override;
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override;
  void remove(const Context& context, const ObjectName& object) override;
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override;
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override;
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = settings_.connections,
            .remote = true,
            .read_only = settings_.as_of.has_value(),
            .description = settings_.description()};
  }

 private:
  [[nodiscard]] std::string what(const char* verb, const ObjectName& object) const {
    return std::string("cannot ") + verb + " " + object.display() +
           (*verb == 'w' ? " to " : " from ") + settings_.description();
  }
  [[nodiscard]] std::string key_of(const std::string& path) const { return client_.key_of(path); }
  HttpResponse execute(const Context& context, const S3Call& call,
                       std::initializer_list<int> expected = {}) {
    return client_.execute(context, call, expected);
  }

  void upload(const Context& context, const ObjectName& object, std::span<const ByteView> parts,
              bool if_absent);
  std::vector<HttpHeader> upload_headers(const Context& context, const ObjectName& object,
                                         std::span<const ByteView> parts, const Digest& digest);
  // One page; returns where the next one begins, nothing at the end.
  std::optional<std::string> list_page(const Context& context, const std::string& prefix,
                                       const std::string& from,
                                       std::vector<std::pair<std::string, uint64_t>>& found);
  void remove_batch(const Context& context, std::span<const ObjectName> objects);
  void remove_one_by_one(const Context& context, std::span<const ObjectName> objects);

  // The past cannot be changed.
  void refuse_when_past() const;
  // For reading: the query that names the version, where it is not the present one.
  std::string version_query(const Context& context, const ObjectName& object);
  bool may_be_locked(const Context& context);

  S3Client client_;
  const S3Settings& settings_ = client_.settings();
  std::unique_ptr<PastObjects> past_;  // null: the present
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
  const std::string target = settings_.description();
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

std::vector<HttpHeader> S3Storage::upload_headers(const Context& context, const ObjectName& object,
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
  // Locks must be removable at any time.
  if (!settings_.lock_mode.empty() && object.kind != ObjectKind::kLock) {
    headers.push_back({"x-amz-object-lock-mode", settings_.lock_mode});
    headers.push_back({"x-amz-object-lock-retain-until-date",
                       s3_time(context.clock.now() + settings_.lock_days)});
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
              .key = key_of(object_path(object)),
              .headers = upload_headers(context, object, parts, digest),
              .body = parts,
              .payload_sha256 = to_hex(digest),
              .what = what("write", object),
              .action = "s3:PutObject"};
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
    if (const auto existing = stat(context, object)) {
      check_existing(*this, context, object, existing->size_bytes, parts);
      return;
    }
    // It was removed in between.
    throw Error(ErrorCode::kUnreachable, call.what + ": it appeared and disappeared meanwhile");
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
  // Servers that do not know If-None-Match may ignore it.
  if (!conditional_proven_ && (!named_by_hash(object.kind) || conditional_refused_)) {
    if (const auto existing = stat(context, object)) {
      check_existing(*this, context, object, existing->size_bytes, parts);
      return;
    }
  }
  upload(context, object, parts, true);
}

void S3Storage::replace_config(const Context& context, ByteView bytes) {
  const ObjectName config{ObjectKind::kConfig, ""};
  check_call(context, config);
  refuse_when_past();
  upload(context, config, {&bytes, 1}, false);
}

// ---- reading ----

Buffer S3Storage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  check_call(context, object);
  return whole_body(execute(context, {.method = "GET",
                                      .key = key_of(object_path(object)),
                                      .query = version_query(context, object),
                                      .limit_bytes = limit_bytes,
                                      .what = what("read", object),
                                      .action = "s3:GetObject"}),
                    what("read", object), limit_bytes);
}

void S3Storage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                          MutableBytes out) {
  check_call(context, object);
  const RangedRead range(what("read", object), offset, out.size());
  if (out.empty()) {  // there is no range of no bytes
    range.check_empty(stat(context, object));
    return;
  }
  range.check(execute(context,
                      {.method = "GET",
                       .key = key_of(object_path(object)),
                       .query = version_query(context, object),
                       .headers = {{"Range", range.header()}},
                       .into = out,
                       .what = what("read", object),
                       .action = "s3:GetObject"},
                      {416}));
}

std::optional<ObjectInfo> S3Storage::stat(const Context& context, const ObjectName& object) {
  check_call(context, object);
  if (past_) {
    const auto found = past_->find(context, object);
    return found ? std::optional(ObjectInfo{object.name, found->size_bytes}) : std::nullopt;
  }
  const S3Call call{.method = "HEAD",
                    .key = key_of(object_path(object)),
                    .what = what("look for", object),
                    .action = "s3:GetObject"};
  const HttpResponse response = execute(context, call, {404});
  if (response.status == 404) {
    return std::nullopt;
  }
  const std::string length(response.header("content-length").value_or(""));
  if (length.empty() || length.find_first_not_of("0123456789") != std::string::npos ||
      length.size() > 18) {
    throw Error(ErrorCode::kFailed, call.what + ": the server does not say how long it is");
  }
  return ObjectInfo{object.name, std::stoull(length)};
}

std::optional<std::string> S3Storage::list_page(
    const Context& context, const std::string& prefix, const std::string& from,
    std::vector<std::pair<std::string, uint64_t>>& found) {
  // Without encoding-type: servers do not agree on what a blank and a plus become under it.
  std::string query = settings_.list_v1 ? "max-keys=1000" : "list-type=2&max-keys=1000";
  query += "&prefix=" + percent_encode(prefix);
  if (!from.empty()) {
    query += (settings_.list_v1 ? "&marker=" : "&continuation-token=") + percent_encode(from);
  }
  const S3Call call{.method = "GET",
                    .query = query,
                    .limit_bytes = kListReply,
                    .what = "cannot list " + settings_.description(),
                    .action = "s3:ListBucket"};
  const HttpResponse response = execute(context, call, {404});
  if (response.status == 404) {
    return std::nullopt;  // no bucket, no objects
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
    const std::string size = element.child_text("Size");
    if (size.empty() || size.find_first_not_of("0123456789") != std::string::npos ||
        size.size() > 18) {
      throw refuse("the reply has no sizes");
    }
    found.emplace_back(last, std::stoull(size));
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

void S3Storage::list(const Context& context, ObjectKind kind,
                     const std::function<void(const ObjectInfo&)>& on_object) {
  list_prefix(context, kind, "", on_object);
}

void S3Storage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                            const std::function<void(const ObjectInfo&)>& on_object) {
  context.check_stopped();
  if (!may_begin_name(kind, prefix)) {
    return;
  }
  if (past_) {
    past_->list(context, kind, prefix, on_object);
    return;
  }
  if (kind == ObjectKind::kConfig) {
    if (const auto info = stat(context, {kind, ""})) {
      on_object(*info);
    }
    return;
  }
  const std::string below = key_of(path_prefix(kind, prefix));
  const size_t root = settings_.prefix.empty() ? 0 : settings_.prefix.size() + 1;
  std::optional<std::string> from = "";
  while (from) {
    std::vector<std::pair<std::string, uint64_t>> page;
    from = list_page(context, below, *from, page);
    for (const auto& [key, size_bytes] : page) {
      if (!key.starts_with(below)) {
        continue;
      }
      if (auto name = name_of_path(kind, std::string_view(key).substr(root))) {
        context.check_stopped();
        on_object({std::move(*name), size_bytes});
      }
    }
  }
}

// ---- the past ----

void S3Storage::refuse_when_past() const {
  if (past_) {
    throw past_is_fixed(settings_.description(), s3_time(*settings_.as_of), "s3");
  }
}

std::string S3Storage::version_query(const Context& context, const ObjectName& object) {
  if (!past_) {
    return {};
  }
  const auto found = past_->find(context, object);
  if (!found) {
    throw Error(ErrorCode::kNotFound,
                what("read", object) + ": it did not exist at " + s3_time(*settings_.as_of));
  }
  return "versionId=" + percent_encode(found->version);
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
  if (past_ || !may_be_locked(context)) {
    return std::nullopt;
  }
  return s3_retention(context, client_, key_of(object_path(object)), what("look for", object));
}

void S3Storage::extend_retention(const Context& context, const ObjectName& object, WallTime until) {
  check_call(context, object);
  refuse_when_past();
  if (!may_be_locked(context)) {
    Storage::extend_retention(context, object, until);
  }
  s3_extend_retention(
      context, client_, key_of(object_path(object)), until,
      "cannot extend the protection of " + object.display() + " in " + settings_.description());
}

// ---- removing ----

void S3Storage::remove(const Context& context, const ObjectName& object) {
  check_call(context, object);
  refuse_when_past();
  (void)execute(context,
                {.method = "DELETE",
                 .key = key_of(object_path(object)),
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
    xml += "<Object><Key>" + xml_escape(key_of(object_path(object))) + "</Key></Object>";
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
      .what = "cannot remove " + std::to_string(objects.size()) + " objects from " +
              settings_.description(),
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
    throw s3_error(settings_, failure, response,
                   "cannot remove " + printable(element.child_text("Key")) + " from " +
                       settings_.description(),
                   call.action);
  }
}

void S3Storage::remove_one_by_one(const Context& context, std::span<const ObjectName> objects) {
  std::atomic<size_t> next = 0;
  std::mutex failing;
  std::exception_ptr failure;
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::min<size_t>(kDeleteThreads, objects.size()); ++i) {
      threads.emplace_back([&] {
        try {
          for (size_t at = next++; at < objects.size(); at = next++) {
            remove(context, objects[at]);
          }
        } catch (...) {
          const std::scoped_lock lock(failing);
          failure = std::current_exception();
          next = objects.size();
        }
      });
    }
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace

std::unique_ptr<Storage> open_s3_storage(std::string_view rest, const StorageOptions& options) {
  return std::make_unique<S3Storage>(s3_settings(rest, options), options);
}

}  // namespace salvor
