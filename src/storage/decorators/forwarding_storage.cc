#include "storage/decorators/forwarding_storage.h"

namespace salvor {

void ForwardingStorage::create(const Context& context) {
  base_->create(context);
}

void ForwardingStorage::put(const Context& context, const ObjectName& object,
                            std::span<const ByteView> parts) {
  base_->put(context, object, parts);
}

void ForwardingStorage::replace_config(const Context& context, ByteView bytes) {
  base_->replace_config(context, bytes);
}

Buffer ForwardingStorage::get(const Context& context, const ObjectName& object,
                              uint64_t limit_bytes) {
  return base_->get(context, object, limit_bytes);
}

void ForwardingStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                                  MutableBytes out) {
  base_->get_range(context, object, offset, out);
}

std::optional<ObjectInfo> ForwardingStorage::stat(const Context& context,
                                                  const ObjectName& object) {
  return base_->stat(context, object);
}

void ForwardingStorage::list(const Context& context, ObjectKind kind,
                             const std::function<void(const ObjectInfo&)>& on_object) {
  base_->list(context, kind, on_object);
}

void ForwardingStorage::list_prefix(const Context& context, ObjectKind kind,
                                    std::string_view prefix,
                                    const std::function<void(const ObjectInfo&)>& on_object) {
  base_->list_prefix(context, kind, prefix, on_object);
}

void ForwardingStorage::remove(const Context& context, const ObjectName& object) {
  base_->remove(context, object);
}

void ForwardingStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  base_->remove_many(context, objects);
}

std::vector<Leftover> ForwardingStorage::leftovers(const Context& context,
                                                   std::chrono::seconds age) {
  return base_->leftovers(context, age);
}

void ForwardingStorage::remove_leftovers(const Context& context,
                                         std::span<const Leftover> leftovers) {
  base_->remove_leftovers(context, leftovers);
}

std::optional<StorageSpace> ForwardingStorage::space(const Context& context) {
  return base_->space(context);
}

std::optional<Retention> ForwardingStorage::retention(const Context& context,
                                                      const ObjectName& object) {
  return base_->retention(context, object);
}

void ForwardingStorage::extend_retention(const Context& context, const ObjectName& object,
                                         WallTime until) {
  base_->extend_retention(context, object, until);
}

WallTime ForwardingStorage::server_time(const Context& context) {
  return base_->server_time(context);
}

StorageTraits ForwardingStorage::traits() const {
  return base_->traits();
}

std::unique_ptr<Storage> borrow_storage(Storage& storage) {
  return std::make_unique<ForwardingStorage>(storage);
}

}  // namespace salvor
