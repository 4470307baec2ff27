#include "storage/bucket_storage.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "model/utc_text.h"
#include "storage/layout.h"

namespace salvor {
namespace {

constexpr unsigned kRemovals = 8;  // at a time

Error ends_before(const std::string& what, uint64_t end) {
  return {ErrorCode::kDamaged, what + ": it ends before byte " + std::to_string(end),
          "The stored object is damaged. Run check to see what it affects."};
}

}  // namespace

BucketStorage::BucketStorage(Bucket bucket)
    : bucket_(std::move(bucket)), past_([this](const Context& context) {
        return bucket_.as_of ? load_past(context, *bucket_.as_of) : PastObjectMap();
      }) {}

std::string BucketStorage::what(const char* verb, const ObjectName& object) const {
  return std::string("cannot ") + verb + " " + object.display() +
         (*verb == 'w' ? " to " : " from ") + bucket_.description;
}

std::string BucketStorage::key_prefix() const {
  return bucket_.prefix.empty() ? "" : bucket_.prefix + "/";
}

std::string BucketStorage::key_of(const ObjectName& object) const {
  return key_prefix() + object_path(object);
}

std::string_view BucketStorage::path_of_key(std::string_view key) const {
  return key.substr(key_prefix().size());
}

StorageTraits BucketStorage::traits() const {
  return {.connections = bucket_.connections,
          .remote = true,
          .read_only = reads_past(),
          .description = bucket_.description};
}

// ---- writing ----

void BucketStorage::put(const Context& context, const ObjectName& object,
                        std::span<const ByteView> parts) {
  check_call(context, object);
  refuse_when_past();
  upload(context, object, parts, true);
}

void BucketStorage::replace_config(const Context& context, ByteView bytes) {
  const ObjectName config{ObjectKind::kConfig, ""};
  check_call(context, config);
  refuse_when_past();
  upload(context, config, {&bytes, 1}, false);
}

void BucketStorage::accept_existing(const Context& context, const ObjectName& object,
                                    std::span<const ByteView> parts) {
  const auto existing = stat(context, object);
  if (!existing) {  // it was removed in between
    throw Error(ErrorCode::kUnreachable,
                what("write", object) + ": it appeared and disappeared meanwhile");
  }
  check_existing(*this, context, object, existing->size_bytes, parts);
}

void BucketStorage::remove(const Context& context, const ObjectName& object) {
  check_call(context, object);
  refuse_when_past();
  remove_present(context, object);
}

void BucketStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  remove_in_parallel(*this, context, objects, std::min(kRemovals, bucket_.connections));
}

// ---- reading ----

Buffer BucketStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  check_call(context, object);
  const std::string what = this->what("read", object);
  HttpResponse response =
      fetch(context, object,
            {.version = version_of(context, object), .limit_bytes = limit_bytes, .what = what});
  if (response.cut) {
    throw Error(ErrorCode::kDamaged,
                what + ": it has more than " + std::to_string(limit_bytes) + " bytes");
  }
  return std::move(response.body);
}

void BucketStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                              MutableBytes out) {
  check_call(context, object);
  const std::string what = this->what("read", object);
  const uint64_t end = offset + out.size();
  if (out.empty()) {  // there is no range of no bytes
    const auto info = stat(context, object);
    if (!info) {
      throw Error(ErrorCode::kNotFound, what + ": it does not exist");
    }
    if (info->size_bytes < end) {
      throw ends_before(what, end);
    }
    return;
  }
  const HttpResponse response =
      fetch(context, object,
            {.version = version_of(context, object),
             .range = "bytes=" + std::to_string(offset) + "-" + std::to_string(end - 1),
             .into = out,
             .what = what});
  if (response.status == 416) {
    throw ends_before(what, end);
  }
  // Status 200: the whole object, whatever was asked for.
  if (response.cut || (response.status != 206 && offset != 0)) {
    throw Error(ErrorCode::kFailed, what + ": the server ignores ranges");
  }
  if (response.body_bytes < out.size()) {
    throw ends_before(what, end);
  }
}

std::optional<ObjectInfo> BucketStorage::stat(const Context& context, const ObjectName& object) {
  check_call(context, object);
  std::optional<uint64_t> size_bytes;
  if (reads_past()) {
    const auto found = past_.find(context, object);
    size_bytes = found ? std::optional(found->size_bytes) : std::nullopt;
  } else {
    size_bytes = size_of(context, object);
  }
  return size_bytes ? std::optional(ObjectInfo{object.name, *size_bytes}) : std::nullopt;
}

std::optional<uint64_t> BucketStorage::size_in(const HttpResponse& response,
                                               const std::string& what) {
  if (response.status == 404) {
    return std::nullopt;
  }
  const auto size_bytes = parse_size(response.header("content-length").value_or(""));
  if (!size_bytes) {
    throw Error(ErrorCode::kFailed, what + ": the server does not say how long it is");
  }
  return size_bytes;
}

void BucketStorage::list(const Context& context, ObjectKind kind,
                         const std::function<void(const ObjectInfo&)>& on_object) {
  list_prefix(context, kind, "", on_object);
}

void BucketStorage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                                const std::function<void(const ObjectInfo&)>& on_object) {
  context.check_stopped();
  if (!may_begin_name(kind, prefix)) {
    return;
  }
  if (reads_past()) {
    past_.list(context, kind, prefix, on_object);
    return;
  }
  if (kind == ObjectKind::kConfig) {
    if (const auto info = stat(context, {kind, ""})) {
      on_object(*info);
    }
    return;
  }
  list_keys(context, key_prefix() + path_prefix(kind, prefix),
            [&](std::string_view key, uint64_t size_bytes) {
              if (auto name = name_of_path(kind, path_of_key(key))) {
                context.check_stopped();
                on_object({std::move(*name), size_bytes});
              }
            });
}

// ---- the past ----

void BucketStorage::refuse_when_past() const {
  if (bucket_.as_of) {
    throw past_is_fixed(bucket_.description, rfc3339_utc(*bucket_.as_of), bucket_.scheme);
  }
}

std::string BucketStorage::version_of(const Context& context, const ObjectName& object) {
  if (!bucket_.as_of) {
    return {};
  }
  auto found = past_.find(context, object);
  if (!found) {
    throw Error(ErrorCode::kNotFound,
                what("read", object) + ": it did not exist at " + rfc3339_utc(*bucket_.as_of));
  }
  return std::move(found->version);
}

std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()
             ? std::optional(value)
             : std::nullopt;
}

}  // namespace salvor
