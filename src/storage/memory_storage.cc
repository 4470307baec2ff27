#include "storage/memory_storage.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>

namespace salvor {
namespace {

class MemoryStorage final : public Storage {
 public:
  using Storage::put;

  void create(const Context& context) override { context.check_stopped(); }

  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    check_call(context, object);
    auto content = std::make_shared<Buffer>();
    content->reserve(total_size(parts));
    for (const ByteView part : parts) {
      content->append(part);
    }
    Content existing;
    {
      const std::unique_lock lock(mutex_);
      const auto [place, inserted] = objects_.try_emplace(object, std::move(content));
      if (inserted) {
        return;
      }
      existing = place->second;
    }
    check_existing(*this, context, object, existing->size(), parts);
  }

  void replace_config(const Context& context, ByteView bytes) override {
    context.check_stopped();
    auto content = std::make_shared<Buffer>(Buffer::copy_of(bytes));
    const std::unique_lock lock(mutex_);
    objects_[ObjectName{ObjectKind::kConfig, {}}] = std::move(content);
  }

  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override {
    const Content content = find(context, object);
    if (content->size() > limit_bytes) {
      throw Error(ErrorCode::kDamaged, "cannot read " + object.display() + ": it has " +
                                           std::to_string(content->size()) + " bytes, more than " +
                                           std::to_string(limit_bytes));
    }
    return Buffer::copy_of(content->view());
  }

  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override {
    const Content content = find(context, object);
    if (offset > content->size() || out.size() > content->size() - offset) {
      throw Error(ErrorCode::kDamaged, "cannot read " + object.display() + ": it ends at byte " +
                                           std::to_string(content->size()));
    }
    std::ranges::copy(content->view(offset, out.size()), out.begin());
  }

  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override {
    check_call(context, object);
    const std::shared_lock lock(mutex_);
    const auto place = objects_.find(object);
    if (place == objects_.end()) {
      return std::nullopt;
    }
    return ObjectInfo{object.name, place->second->size()};
  }

  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    list_prefix(context, kind, {}, on_object);
  }
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override {
    context.check_stopped();
    std::vector<ObjectInfo> found;
    {
      const std::shared_lock lock(mutex_);
      for (auto place = objects_.lower_bound(ObjectName{kind, std::string(prefix)});
           place != objects_.end() && place->first.kind == kind &&
           place->first.name.starts_with(prefix);
           ++place) {
        found.push_back({place->first.name, place->second->size()});
      }
    }
    for (const ObjectInfo& object : found) {
      context.check_stopped();
      on_object(object);
    }
  }

  void remove(const Context& context, const ObjectName& object) override {
    check_call(context, object);
    const std::unique_lock lock(mutex_);
    objects_.erase(object);
  }

  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = 4, .remote = false, .description = "memory"};
  }

 private:
  // Shared: a reader goes on with what it found while the object is removed or replaced.
  using Content = std::shared_ptr<const Buffer>;

  Content find(const Context& context, const ObjectName& object) {
    check_call(context, object);
    const std::shared_lock lock(mutex_);
    const auto place = objects_.find(object);
    if (place == objects_.end()) {
      throw Error(ErrorCode::kNotFound, "cannot read " + object.display() + ": it does not exist");
    }
    return place->second;
  }

  std::shared_mutex mutex_;
  std::map<ObjectName, Content> objects_;
};

}  // namespace

std::unique_ptr<Storage> make_memory_storage() {
  return std::make_unique<MemoryStorage>();
}

}  // namespace salvor
