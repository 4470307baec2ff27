#include "storage/decorators/counting_storage.h"

namespace salvor {

std::string_view request_kind_name(RequestKind kind) {
  switch (kind) {
    case RequestKind::kPut:
      return "put";
    case RequestKind::kGet:
      return "get";
    case RequestKind::kStat:
      return "stat";
    case RequestKind::kList:
      return "list";
    case RequestKind::kRemove:
      return "remove";
    case RequestKind::kOther:
      return "other";
  }
  return "?";
}

void CountingStorage::create(const Context& context) {
  counted(RequestKind::kOther).create(context);
}

void CountingStorage::put(const Context& context, const ObjectName& object,
                          std::span<const ByteView> parts) {
  counted(RequestKind::kPut).put(context, object, parts);
  counts_.bytes_sent += total_size(parts);
}

void CountingStorage::replace_config(const Context& context, ByteView bytes) {
  counted(RequestKind::kPut).replace_config(context, bytes);
  counts_.bytes_sent += bytes.size();
}

Buffer CountingStorage::get(const Context& context, const ObjectName& object,
                            uint64_t limit_bytes) {
  Buffer bytes = counted(RequestKind::kGet).get(context, object, limit_bytes);
  counts_.bytes_received += bytes.size();
  return bytes;
}

void CountingStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                                MutableBytes out) {
  counted(RequestKind::kGet).get_range(context, object, offset, out);
  counts_.bytes_received += out.size();
}

std::optional<ObjectInfo> CountingStorage::stat(const Context& context, const ObjectName& object) {
  return counted(RequestKind::kStat).stat(context, object);
}

void CountingStorage::list(const Context& context, ObjectKind kind,
                           const std::function<void(const ObjectInfo&)>& on_object) {
  counted(RequestKind::kList).list(context, kind, on_object);
}

void CountingStorage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                                  const std::function<void(const ObjectInfo&)>& on_object) {
  counted(RequestKind::kList).list_prefix(context, kind, prefix, on_object);
}

void CountingStorage::remove(const Context& context, const ObjectName& object) {
  counted(RequestKind::kRemove).remove(context, object);
}

void CountingStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  counted(RequestKind::kRemove, objects.size()).remove_many(context, objects);
}

std::vector<Leftover> CountingStorage::leftovers(const Context& context, std::chrono::seconds age) {
  return counted(RequestKind::kList).leftovers(context, age);
}

void CountingStorage::remove_leftovers(const Context& context,
                                       std::span<const Leftover> leftovers) {
  counted(RequestKind::kRemove, leftovers.size()).remove_leftovers(context, leftovers);
}

std::optional<StorageSpace> CountingStorage::space(const Context& context) {
  return counted(RequestKind::kOther).space(context);
}

std::optional<Retention> CountingStorage::retention(const Context& context,
                                                    const ObjectName& object) {
  return counted(RequestKind::kOther).retention(context, object);
}

void CountingStorage::extend_retention(const Context& context, const ObjectName& object,
                                       WallTime until) {
  counted(RequestKind::kOther).extend_retention(context, object, until);
}

// Hardly ever a request.
WallTime CountingStorage::server_time(const Context& context) {
  return base_->server_time(context);
}

}  // namespace salvor
