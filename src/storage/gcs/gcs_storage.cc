#include "storage/gcs/gcs_storage.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <mutex>

#include <nlohmann/json.hpp>

#include "base/format.h"
#include "codec/go_json.h"
#include "crypto/crc32c.h"
#include "model/utc_text.h"
#include "storage/bucket_storage.h"
#include "storage/gcs/gcs_client.h"
#include "storage/gcs/gcs_credentials.h"
#include "storage/gcs/gcs_errors.h"
#include "storage/gcs/gcs_settings.h"
#include "storage/gcs/gcs_uploads.h"
#include "storage/retention_mode.h"
#include "storage/server_trouble.h"

namespace salvor {
namespace {

constexpr uint64_t kListReply = uint64_t{8} << 20;
constexpr uint64_t kWorthResuming = uint64_t{1} << 20;

std::string crc32c_base64(std::span<const ByteView> parts) {
  Crc32c crc;
  for (const ByteView part : parts) {
    crc.update(part);
  }
  std::array<std::byte, 4> big_endian{};
  for (size_t i = 0; i < big_endian.size(); ++i) {
    big_endian[i] = static_cast<std::byte>(crc.value() >> (24 - 8 * i));
  }
  return to_base64(big_endian);
}

// A string member; "" when there is none.
std::string text_of(const nlohmann::json& json, const char* key) {
  return json.is_object() && json.contains(key) && json.at(key).is_string()
             ? json.at(key).get<std::string>()
             : std::string();
}

// Sizes come as text.
std::optional<uint64_t> number_of(const nlohmann::json& json, const char* key) {
  return parse_size(text_of(json, key));
}

class GcsStorage final : public BucketStorage {
 public:
  GcsStorage(GcsSettings settings, const StorageOptions& options)
      : BucketStorage({.description = settings.description(),
                       .prefix = settings.prefix,
                       .scheme = "gs",
                       .connections = settings.connections,
                       .as_of = settings.as_of}),
        client_(std::move(settings), options) {}

  void create(const Context& context) override;
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override;
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override;
  WallTime server_time(const Context& context) override { return client_.server_time(context); }

 private:
  void upload(const Context& context, const ObjectName& object, std::span<const ByteView> parts,
              bool if_absent) override;
  HttpResponse fetch(const Context& context, const ObjectName& object,
                     const Reading& reading) override;
  std::optional<uint64_t> size_of(const Context& context, const ObjectName& object) override;
  void list_keys(const Context& context, const std::string& below, const OnKey& on_key) override;
  void remove_present(const Context& context, const ObjectName& object) override;
  PastObjectMap load_past(const Context& context, WallTime as_of) override;

  [[nodiscard]] std::string bucket_path() const { return "/storage/v1/b/" + settings_.bucket; }
  [[nodiscard]] std::string object_url(const ObjectName& object, const std::string& query) const {
    return bucket_path() + "/o/" + percent_encode(key_of(object)) +
           (query.empty() ? "" : "?" + query);
  }

  // As the client's, and that something is missing is believed only in Google's own words: throws
  // Error{kUnreachable} for another 404, `expected` or not, and for a bucket that is missing after
  // it has been there.
  HttpResponse execute(const Context& context, const GcsCall& call,
                       std::initializer_list<int> expected = {});
  [[nodiscard]] std::string description_of(const Context& context, const ObjectName& object,
                                           const std::string& checksum);
  [[nodiscard]] GcsCall upload_call(const ObjectName& object, const std::string& type,
                                    bool if_absent) const;
  HttpResponse send_at_once(const Context& context, const ObjectName& object,
                            std::span<const ByteView> parts, const std::string& description,
                            bool if_absent);
  HttpResponse send_in_session(const Context& context, const ObjectName& object,
                               std::span<const ByteView> parts, const std::string& description,
                               const std::string& checksum, bool if_absent);
  [[nodiscard]] bool is_kept(const ObjectName& object) const {
    return !settings_.lock_mode.empty() && object.kind != ObjectKind::kLock;
  }
  void for_each_item(const Context& context, const std::string& below, const std::string& query,
                     const std::function<void(const nlohmann::json&)>& on_item);
  [[nodiscard]] bool has_versioning(const Context& context);
  nlohmann::json parse(const GcsCall& call, const HttpResponse& response) const;
  // Whether the bucket has object retention; asked once.
  bool may_be_kept(const Context& context);

  GcsClient client_;
  const GcsSettings& settings_ = client_.settings();
  GcsUploads uploads_{client_};
  std::atomic<bool> bucket_seen_ = false;
  std::mutex kept_mutex_;
  std::optional<bool> kept_;  // under kept_mutex_
};

HttpResponse GcsStorage::execute(const Context& context, const GcsCall& call,
                                 std::initializer_list<int> expected) {
  HttpResponse response = client_.execute(context, call, expected);
  if (response.status == 404) {
    const GcsFailure failure = parse_gcs_failure(response);
    Error error = gcs_error(settings_, failure, response, call.what, call.permission);
    if (failure.foreign()) {
      throw error;
    }
    if (failure.no_bucket && bucket_seen_) {
      throw vanished_bucket(error.message());
    }
  } else if (response.success()) {
    bucket_seen_ = true;
  }
  return response;
}

nlohmann::json GcsStorage::parse(const GcsCall& call, const HttpResponse& response) const {
  auto json = nlohmann::json::parse(as_text(response.body.view()), nullptr, false);
  if (!json.is_object() || response.cut) {
    throw Error(ErrorCode::kFailed, call.what + ": the reply is not a JSON object",
                "Does " + printable(settings_.endpoint) + " speak Google Cloud Storage?");
  }
  return json;
}

// ---- writing ----

void GcsStorage::create(const Context& context) {
  refuse_when_past();
  context.check_stopped();
  const std::string target = description();
  // Without the right to look, what follows will show whether the bucket is there.
  const HttpResponse found = execute(context,
                                     {.method = "GET",
                                      .path = bucket_path() + "?fields=name",
                                      .what = "cannot look for " + target,
                                      .permission = "storage.buckets.get"},
                                     {403, 404});
  if (found.status != 404) {
    return;
  }
  std::string project = settings_.project;
  if (project.empty() && !settings_.anonymous) {
    project = client_.project();
  }
  if (project.empty() && !settings_.anonymous) {
    GcsFailure failure = parse_gcs_failure(found);
    failure.no_bucket = true;
    throw gcs_error(settings_, failure, found, "cannot look for " + target, "storage.buckets.get");
  }
  const std::string description = nlohmann::json{
      {"name", settings_.bucket},
      {"location", settings_.location},
      {"iamConfiguration",
       {{"uniformBucketLevelAccess", {{"enabled", true}}},
        {"publicAccessPrevention",
         "enforced"}}}}.dump();
  const ByteView body = as_bytes(description);
  (void)execute(context,
                {.method = "POST",
                 .path = "/storage/v1/b?project=" + percent_encode(project) +
                         (settings_.lock_mode.empty() ? "" : "&enableObjectRetention=true"),
                 .headers = {{"Content-Type", "application/json"}},
                 .body = {&body, 1},
                 .what = "cannot make the bucket " + printable(settings_.bucket),
                 .permission = "storage.buckets.create"},
                {409});  // somebody was faster
}

// The object as the upload describes it.
std::string GcsStorage::description_of(const Context& context, const ObjectName& object,
                                       const std::string& checksum) {
  nlohmann::json resource{
      {"name", key_of(object)}, {"contentType", "application/octet-stream"}, {"crc32c", checksum}};
  if (!settings_.storage_class.empty() && object.kind == ObjectKind::kPack) {
    resource["storageClass"] = settings_.storage_class;
  }
  // Locks must be removable at any time.
  if (is_kept(object)) {
    resource["retention"] = {
        {"mode", settings_.lock_mode},
        {"retainUntilTime", rfc3339_utc(client_.server_time(context) + settings_.lock_days)}};
  }
  return resource.dump();
}

GcsCall GcsStorage::upload_call(const ObjectName& object, const std::string& type,
                                bool if_absent) const {
  std::string query = "?uploadType=" + type + "&fields=size,crc32c,retention";
  if (if_absent) {
    query += "&ifGenerationMatch=0";
  }
  if (!settings_.kms_key.empty()) {
    query += "&kmsKeyName=" + percent_encode(settings_.kms_key);
  }
  return {.method = "POST",
          .path = "/upload" + bucket_path() + "/o" + query,
          .what = what("write", object),
          .permission = "storage.objects.create"};
}

// Description and content in one request.
HttpResponse GcsStorage::send_at_once(const Context& context, const ObjectName& object,
                                      std::span<const ByteView> parts,
                                      const std::string& description, bool if_absent) {
  // Drawn at random, so that no content holds it.
  std::array<std::byte, 24> drawn{};
  SystemRandom().fill(drawn);
  const std::string boundary = to_hex(drawn);
  const std::string head =
      "--" + boundary + "\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n" + description +
      "\r\n--" + boundary + "\r\nContent-Type: application/octet-stream\r\n\r\n";
  const std::string tail = "\r\n--" + boundary + "--\r\n";
  std::vector<ByteView> body{as_bytes(head)};
  body.insert(body.end(), parts.begin(), parts.end());
  body.push_back(as_bytes(tail));
  GcsCall call = upload_call(object, "multipart", if_absent);
  call.headers = {{"Content-Type", "multipart/related; boundary=" + boundary}};
  call.body = body;
  return execute(context, call, {404, 412});
}

HttpResponse GcsStorage::send_in_session(const Context& context, const ObjectName& object,
                                         std::span<const ByteView> parts,
                                         const std::string& description,
                                         const std::string& checksum, bool if_absent) {
  const ByteView body = as_bytes(description);
  GcsCall call = upload_call(object, "resumable", if_absent);
  call.headers = {{"Content-Type", "application/json; charset=UTF-8"},
                  {"X-Upload-Content-Type", "application/octet-stream"},
                  {"X-Upload-Content-Length", std::to_string(total_size(parts))}};
  call.body = {&body, 1};
  return uploads_.upload(context, key_of(object), checksum, call, parts);
}

void GcsStorage::upload(const Context& context, const ObjectName& object,
                        std::span<const ByteView> parts, bool if_absent) {
  const std::string checksum = crc32c_base64(parts);
  const std::string description = description_of(context, object, checksum);
  const std::string key = key_of(object);
  const GcsCall call = upload_call(object, "", if_absent);  // for messages
  HttpResponse response;
  if (uploads_.wants_session(key, checksum, total_size(parts))) {
    response = send_in_session(context, object, parts, description, checksum, if_absent);
  } else {
    try {
      response = send_at_once(context, object, parts, description, if_absent);
    } catch (const Error& error) {
      if (error.retryable() && !error.advice().slow_down && total_size(parts) >= kWorthResuming) {
        uploads_.was_cut(key, checksum);
      }
      throw;
    }
  }
  if (response.success()) {
    const auto stored = parse(call, response);
    if (number_of(stored, "size") != total_size(parts) || text_of(stored, "crc32c") != checksum) {
      throw Error(ErrorCode::kDamaged, call.what + ": the server has stored something else",
                  "Remove the object, and report this.");
    }
    // Nobody should believe in a protection that is not there.
    if (is_kept(object) && !stored.contains("retention")) {
      throw Error(ErrorCode::kFailed, call.what + ": it was stored without the retention",
                  "The bucket has no object retention: see docs/storage-gcs.md.");
    }
    return;
  }
  uploads_.forget(key);
  if (response.status == 412 && if_absent) {
    accept_existing(context, object, parts);
    return;
  }
  GcsFailure failure = parse_gcs_failure(response);
  failure.no_bucket = response.status == 404 && !failure.foreign();  // nothing else can be missing
  throw gcs_error(settings_, failure, response, call.what, call.permission);
}

// ---- reading ----

HttpResponse GcsStorage::fetch(const Context& context, const ObjectName& object,
                               const Reading& reading) {
  const std::string generation =
      reading.version.empty() ? "" : "&generation=" + percent_encode(reading.version);
  GcsCall call{.method = "GET",
               .path = object_url(object, "alt=media") + generation,
               .into = reading.into,
               .limit_bytes = reading.limit_bytes,
               .what = reading.what,
               .permission = "storage.objects.get"};
  if (!reading.range.empty()) {
    call.headers.push_back({"Range", reading.range});
  }
  const GcsCall described{.method = "GET",
                          .path = object_url(object, "fields=size") + generation,
                          .what = call.what,
                          .permission = call.permission};
  for (bool again = false;; again = true) {
    HttpResponse response = client_.execute(context, call, {404, 416});
    if (response.status != 404) {
      bucket_seen_ = true;
      return response;
    }
    // Downloads say it in plain text, as anybody might: the object's description says it in a form.
    const HttpResponse description = execute(context, described, {404});
    if (!description.success()) {
      throw gcs_error(settings_, parse_gcs_failure(description), description, call.what,
                      call.permission);
    }
    if (again) {  // not one that has just been written
      throw gcs_error(settings_, parse_gcs_failure(response), response, call.what, call.permission);
    }
  }
}

std::optional<uint64_t> GcsStorage::size_of(const Context& context, const ObjectName& object) {
  const GcsCall call{.method = "GET",
                     .path = object_url(object, "fields=size"),
                     .what = what("look for", object),
                     .permission = "storage.objects.get"};
  const HttpResponse response = execute(context, call, {404});
  if (response.status == 404) {
    return std::nullopt;
  }
  const auto size_bytes = number_of(parse(call, response), "size");
  if (!size_bytes) {
    throw Error(ErrorCode::kFailed, call.what + ": the server does not say how long it is");
  }
  return size_bytes;
}

void GcsStorage::list_keys(const Context& context, const std::string& below, const OnKey& on_key) {
  for_each_item(context, below, "&fields=items(name,size),nextPageToken",
                [&](const nlohmann::json& item) {
                  if (const auto size_bytes = number_of(item, "size")) {
                    on_key(text_of(item, "name"), *size_bytes);
                  }
                });
}

// Each object whose key begins with `below`, as the server describes it.
void GcsStorage::for_each_item(const Context& context, const std::string& below,
                               const std::string& query,
                               const std::function<void(const nlohmann::json&)>& on_item) {
  std::string from;
  do {
    const GcsCall call{.method = "GET",
                       .path = bucket_path() +
                               "/o?maxResults=" + std::to_string(settings_.list_page) + query +
                               "&prefix=" + percent_encode(below) +
                               (from.empty() ? "" : "&pageToken=" + percent_encode(from)),
                       .limit_bytes = kListReply,
                       .what = "cannot list " + description(),
                       .permission = "storage.objects.list"};
    const HttpResponse response = execute(context, call, {404});
    if (response.status == 404) {
      if (bucket_seen_) {
        throw vanished_bucket(call.what + ": there is no such bucket");
      }
      return;  // no bucket yet, no objects
    }
    const auto page = parse(call, response);
    // A page may be empty and still not be the last.
    const auto items = page.find("items");
    for (const auto& item : items == page.end() ? nlohmann::json() : *items) {
      if (text_of(item, "name").starts_with(below)) {
        context.check_stopped();
        on_item(item);
      }
    }
    const std::string next = text_of(page, "nextPageToken");
    if (!next.empty() && next == from) {
      throw Error(ErrorCode::kFailed, call.what + ": the listing does not go on");
    }
    from = next;
  } while (!from.empty());
}

// ---- the past ----

// What was there then: a generation lives from its making to its removal or replacement.
PastObjectMap GcsStorage::load_past(const Context& context, WallTime as_of) {
  PastObjectMap objects;
  bool versioned = false;
  for_each_item(
      context, key_prefix(),
      "&versions=true&fields=items(name,size,generation,timeCreated,timeDeleted),nextPageToken",
      [&](const nlohmann::json& item) {
        const auto made = parse_go_time(text_of(item, "timeCreated"));
        const auto gone = parse_go_time(text_of(item, "timeDeleted"));
        versioned = versioned || gone;
        const auto size_bytes = number_of(item, "size");
        const auto object = object_at_path(path_of_key(text_of(item, "name")));
        if (object && size_bytes && made && made->wall() <= as_of &&
            (!gone || gone->wall() > as_of)) {
          objects[*object] = {text_of(item, "generation"), *size_bytes};
        }
      });
  if (!versioned && !has_versioning(context)) {
    throw no_past(description(), "gs");
  }
  return objects;
}

// Whether the bucket keeps what is removed or written over; true when that may not be asked.
bool GcsStorage::has_versioning(const Context& context) {
  const GcsCall call{.method = "GET",
                     .path = bucket_path() + "?fields=versioning",
                     .what = "cannot look for the versions of " + description(),
                     .permission = "storage.buckets.get"};
  const HttpResponse response = execute(context, call, {403, 404});
  if (!response.success()) {
    return response.status == 403;
  }
  const auto bucket = parse(call, response);
  return bucket.contains("versioning") && bucket["versioning"].is_object() &&
         bucket["versioning"].value("enabled", false);
}

void GcsStorage::remove_present(const Context& context, const ObjectName& object) {
  (void)execute(context,
                {.method = "DELETE",
                 .path = object_url(object, ""),
                 .what = what("remove", object),
                 .permission = "storage.objects.delete"},
                {404});
}

// ---- retention ----

bool GcsStorage::may_be_kept(const Context& context) {
  const std::scoped_lock lock(kept_mutex_);
  if (!kept_) {
    const GcsCall call{.method = "GET",
                       .path = bucket_path() + "?fields=objectRetention",
                       .what = "cannot look for the retention of " + description(),
                       .permission = "storage.buckets.get"};
    const HttpResponse response = execute(context, call, {403, 404});
    // Without the right to know it, each object is asked.
    kept_ = response.success() ? parse(call, response).contains("objectRetention")
                               : response.status == 403;
  }
  return *kept_ || !settings_.lock_mode.empty();
}

std::optional<Retention> GcsStorage::retention(const Context& context, const ObjectName& object) {
  check_call(context, object);
  if (reads_past() || !may_be_kept(context)) {
    return std::nullopt;
  }
  const GcsCall call{.method = "GET",
                     .path = object_url(object, "fields=retention,temporaryHold,eventBasedHold"),
                     .what = what("look for", object),
                     .permission = "storage.objects.get"};
  const HttpResponse response = execute(context, call, {404});
  if (response.status == 404) {
    return std::nullopt;
  }
  const auto json = parse(call, response);
  const auto is_true = [&](const char* key) { return json.contains(key) && json.at(key) == true; };
  Retention found{.legal_hold = is_true("temporaryHold") || is_true("eventBasedHold")};
  if (json.contains("retention")) {
    const auto until = parse_go_time(text_of(json["retention"], "retainUntilTime"));
    found.until = until ? std::optional(until->wall()) : std::nullopt;
    found.compliance = text_of(json["retention"], "mode") == "Locked";
  }
  return found.until || found.legal_hold ? std::optional(found) : std::nullopt;
}

void GcsStorage::extend_retention(const Context& context, const ObjectName& object,
                                  WallTime until) {
  check_call(context, object);
  refuse_when_past();
  if (!may_be_kept(context)) {
    Storage::extend_retention(context, object, until);
    return;
  }
  const auto mode = mode_to_extend(retention(context, object), until, settings_.lock_mode);
  if (!mode) {
    return;
  }
  const std::string change =
      nlohmann::json{{"retention", {{"mode", *mode}, {"retainUntilTime", rfc3339_utc(until)}}}}
          .dump();
  const ByteView body = as_bytes(change);
  (void)execute(context, {.method = "PATCH",
                          .path = object_url(object, "fields=retention"),
                          .headers = {{"Content-Type", "application/json"}},
                          .body = {&body, 1},
                          .what = "cannot extend the protection of " + object.display() + " in " +
                                  description(),
                          .permission = "storage.objects.setRetention"});
}

}  // namespace

std::unique_ptr<Storage> open_gcs_storage(GcsSettings settings, const StorageOptions& options) {
  return std::make_unique<GcsStorage>(std::move(settings), options);
}

std::unique_ptr<Storage> open_gcs_storage(std::string_view rest, const StorageOptions& options) {
  return open_gcs_storage(gcs_settings(rest, options), options);
}

}  // namespace salvor
