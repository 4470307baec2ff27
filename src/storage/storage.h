// Where objects are kept. One contract suite (storage/storage_contract.h in tests) runs against
// every implementation.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"

namespace salvor {

// restic's object kinds, and our own area (which restic ignores).
enum class ObjectKind : uint8_t { kConfig, kKey, kLock, kSnapshot, kIndex, kPack, kSalvor };

[[nodiscard]] std::string_view object_kind_name(
    ObjectKind kind);  // "config", "key", ..., "pack", "salvor"

// `name` is 64 lower-case hexadecimal digits; empty for kConfig; a relative path of plain
// components for kSalvor.
struct ObjectName {
  ObjectKind kind = ObjectKind::kConfig;
  std::string name;
  friend bool operator==(const ObjectName&, const ObjectName&) = default;
  friend auto operator<=>(const ObjectName&, const ObjectName&) = default;
  // "pack 1a2b3c4d", for messages.
  [[nodiscard]] std::string display() const;
};

struct ObjectInfo {
  std::string name;
  uint64_t size_bytes = 0;
};

struct StorageTraits {
  unsigned connections = 2;  // useful parallel operations
  bool remote = false;       // a round trip costs milliseconds
  std::string description;   // "local directory /srv/backup"
};

// All calls block and are thread-safe. Errors are Error with the object and the place named;
// kUnreachable when trying again may help.
class Storage {
 public:
  virtual ~Storage() = default;

  // Makes the containers (directories) of a new repository. Idempotent.
  virtual void create(const Context& context) = 0;

  // Stores the concatenation of `parts`. Atomic: readers see nothing or everything, also after a
  // crash. Durable on return. Create-if-absent: an existing object of the same name stays, and the
  // call succeeds when it has the same length (names are content hashes) and throws Error{kFailed}
  // when not. kConfig too (use `replace_config`).
  virtual void put(const Context& context, const ObjectName& object,
                   std::span<const ByteView> parts) = 0;
  void put(const Context& context, const ObjectName& object, ByteView bytes) {
    put(context, object, std::span<const ByteView>(&bytes, 1));
  }
  // Atomically replaces the config (migration only).
  virtual void replace_config(const Context& context, ByteView bytes) = 0;

  // The whole object. Throws Error{kNotFound} when absent; Error{kDamaged} above `limit_bytes`.
  [[nodiscard]] virtual Buffer get(const Context& context, const ObjectName& object,
                                   uint64_t limit_bytes = uint64_t{4} << 30) = 0;
  // Exactly out.size() bytes from `offset`. Throws Error{kNotFound} when absent, Error{kDamaged}
  // when the object ends before (truncated).
  virtual void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                         MutableBytes out) = 0;

  [[nodiscard]] virtual std::optional<ObjectInfo> stat(const Context& context,
                                                       const ObjectName& object) = 0;
  // Every object of a kind, in any order. Foreign files (names that are not 64 hexadecimal digits,
  // restic's temporary files) are not reported. Missing containers are empty ones.
  virtual void list(const Context& context, ObjectKind kind,
                    const std::function<void(const ObjectInfo&)>& on_object) = 0;
  // Removing what is absent succeeds. Durable on return.
  virtual void remove(const Context& context, const ObjectName& object) = 0;

  [[nodiscard]] virtual StorageTraits traits() const = 0;

  // Convenience over `list`.
  [[nodiscard]] std::vector<ObjectInfo> list_all(const Context& context, ObjectKind kind);
};

}  // namespace salvor
