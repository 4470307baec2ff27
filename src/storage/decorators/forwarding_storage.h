// A storage that passes every call on: the base of those that change only some of them.
#pragma once

#include <memory>

#include "storage/storage.h"

namespace salvor {

// Whoever derives from it overrides what it changes. A decorator that looks at each removal must
// override `remove_many` too, or the base's own does not come by it.
class ForwardingStorage : public Storage {
 public:
  explicit ForwardingStorage(std::unique_ptr<Storage> base)
      : owned_(std::move(base)), base_(owned_.get()) {}
  // Owns nothing; `base` must outlive it.
  explicit ForwardingStorage(Storage& base) : base_(&base) {}

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
  std::vector<Leftover> leftovers(const Context& context, std::chrono::seconds age) override;
  void remove_leftovers(const Context& context, std::span<const Leftover> leftovers) override;
  std::optional<StorageSpace> space(const Context& context) override;
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override;
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override;
  [[nodiscard]] WallTime server_time(const Context& context) override;
  [[nodiscard]] StorageTraits traits() const override;

 private:
  const std::unique_ptr<Storage> owned_;

 protected:
  Storage* const base_;  // never null
};

}  // namespace salvor
