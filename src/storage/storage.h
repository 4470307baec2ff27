// Where objects are kept. One contract suite (tests/support/storage_contract.h) runs against every
// implementation and decorator.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/context.h"

namespace salvor {

// restic's object kinds, and our own area (which restic ignores).
enum class ObjectKind : uint8_t { kConfig, kKey, kLock, kSnapshot, kIndex, kPack, kSalvor };

// "config", "key", "lock", "snapshot", "index", "pack", "salvor"
[[nodiscard]] std::string_view object_kind_name(ObjectKind kind);

// `name` is 64 lower-case hexadecimal digits; empty for kConfig; a relative path of plain
// components for kSalvor (see is_object_name).
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

// A temporary file of a writer that died in the middle of a put. No object: nobody reads it.
struct Leftover {
  std::string path;  // relative to the repository: "data/1a/1a2b...-tmp-123"
  uint64_t size_bytes = 0;
};

struct StorageSpace {
  uint64_t free_bytes = 0;  // for this user
  uint64_t total_bytes = 0;
};

// How an object is kept from being removed or replaced (S3 object lock).
struct Retention {
  std::optional<WallTime>
      until;                // in compliance mode not even the account's owner can do it before
  bool compliance = false;  // else governance: those with a special right can
  bool legal_hold = false;  // until somebody takes the hold away
  [[nodiscard]] bool holds(WallTime now) const { return legal_hold || (until && *until > now); }
};

struct StorageTraits {
  unsigned connections = 2;  // useful parallel operations
  bool remote = false;       // a round trip costs milliseconds
  bool read_only = false;    // by its nature; commands that read then do without a lock
  // A listing that begins after a put has ended, anybody's, has its object: true of file systems of
  // this machine, not of network file systems, which cache directories.
  bool lists_at_once = false;
  std::string description;  // "local directory /srv/backup"
};

// All calls block and are thread-safe. Errors are Error with the object and the place named;
// kUnreachable when trying again may help. Every call throws Error{kCancelled} without any effect
// when the context is already stopped (clean-up after an interruption needs a context of its own),
// and Error{kFailed} for a name that is not one.
class Storage {
 public:
  virtual ~Storage() = default;

  // Makes the containers (directories) of a new repository. Idempotent.
  virtual void create(const Context& context) = 0;

  // Stores the concatenation of `parts`. Atomic: readers see nothing or everything, also after a
  // crash. Durable on return. Create-if-absent: an existing object of the same name stays. The call
  // then succeeds when it is the same object: of the same length where names are content hashes, of
  // the same bytes for kConfig and kSalvor, so that of two racing `init`s one fails (to change the
  // config use `replace_config`). When it is another one the call throws Error{kFailed}. After any
  // other error the object may be absent or complete; putting it again is safe.
  virtual void put(const Context& context, const ObjectName& object,
                   std::span<const ByteView> parts) = 0;
  void put(const Context& context, const ObjectName& object, ByteView bytes) {
    put(context, object, std::span<const ByteView>(&bytes, 1));
  }
  // Atomically replaces the config (migration only). Durable on return.
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
  // restic's temporary files) are not reported. Missing containers are empty ones. Objects put or
  // removed meanwhile may or may not be reported. `on_object` may use the storage, and ends the
  // listing by throwing.
  virtual void list(const Context& context, ObjectKind kind,
                    const std::function<void(const ObjectInfo&)>& on_object) = 0;
  // As `list`, only the objects whose names begin with `prefix` (any bytes; what no name begins
  // with finds nothing). Costs what it finds, where the storage can ask for that: kSalvor
  // everywhere; else, and by default, it costs as much as `list`.
  virtual void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                           const std::function<void(const ObjectInfo&)>& on_object);
  // Removing what is absent succeeds. Durable on return.
  virtual void remove(const Context& context, const ObjectName& object) = 0;
  // As `remove` for each, in any order; durable when all is done. Cheaper where the cost is in
  // making removals durable one by one. An error leaves some removed and some not.
  virtual void remove_many(const Context& context, std::span<const ObjectName> objects);

  // What writers left behind that died longer than `age` ago. The time that counts is the storage's
  // own: from when the file was last written to until the newest lock was stored, so callers hold
  // one (there is no other that is newer, when it is exclusive); without any lock nothing is found.
  // Only names that puts use, restic's to local directories among them (is_leftover_path), and only
  // regular files. None, by default, where objects come into being in one step.
  [[nodiscard]] virtual std::vector<Leftover> leftovers(const Context& context,
                                                        std::chrono::seconds age);
  // Removes what `leftovers` has found; what is absent is fine. Durable on return. Throws
  // Error{kFailed}, and removes nothing, for a path that is none of a leftover. After any other
  // error some are removed and some not.
  virtual void remove_leftovers(const Context& context, std::span<const Leftover> leftovers);

  // Nothing where the storage does not say.
  [[nodiscard]] virtual std::optional<StorageSpace> space(const Context& context);
  // Nothing when the object is not protected. Costs no request where nothing can be.
  [[nodiscard]] virtual std::optional<Retention> retention(const Context& context,
                                                           const ObjectName& object);
  // Protects an object until then, in its own mode or, when it is not protected, in the storage's
  // default. Never shortens: the caller has looked (`retention`), and servers refuse. Throws
  // Error{kUsage} where nothing can be protected.
  virtual void extend_retention(const Context& context, const ObjectName& object, WallTime until);
  // What time it is for whoever judges retention: the server's clock where it differs from ours by
  // more than minutes, which its replies show (a request is made when there was none yet). Throws
  // what that throws.
  [[nodiscard]] virtual WallTime server_time(const Context& context);

  [[nodiscard]] virtual StorageTraits traits() const = 0;

  // Convenience over `list`.
  [[nodiscard]] std::vector<ObjectInfo> list_all(const Context& context, ObjectKind kind);
};

// The same storage behind an owning pointer that owns nothing; `storage` must outlive it. For
// callers that want to keep a decorator in hand after giving it away (tests, statistics).
[[nodiscard]] std::unique_ptr<Storage> borrow_storage(Storage& storage);

// ---- for implementers ----

// Whether `name` can name an object of `kind`. For kSalvor: components of letters, digits and
// "._-+=@,~%", not beginning with a dot (neither ".." nor a hidden foreign file), at most 200 bytes
// each and 900 together (S3 keys have 1,024), not looking like a temporary file
// ("...-tmp-<digits>").
[[nodiscard]] bool is_object_name(ObjectKind kind, std::string_view name);
// Whether a name of the kind may begin with `prefix`; servers answer requests for what may not as
// they please.
[[nodiscard]] bool may_begin_name(ObjectKind kind, std::string_view prefix);
// Stopped or nonsense calls end here: throws Error{kCancelled} or Error{kFailed}.
void check_call(const Context& context, const ObjectName& object);
[[nodiscard]] uint64_t total_size(std::span<const ByteView> parts);
// True when the concatenation of `parts` is `bytes`.
[[nodiscard]] bool same_bytes(std::span<const ByteView> parts, ByteView bytes);
// `remove_many` by `threads` threads (1 or more), for storages that have nothing better. After an
// error the others stop too.
void remove_in_parallel(Storage& storage, const Context& context,
                        std::span<const ObjectName> objects, unsigned threads);
// The part of `put` that finds an object of the name: throws Error{kFailed} unless it is the same
// object.
void check_existing(Storage& storage, const Context& context, const ObjectName& object,
                    uint64_t existing_bytes, std::span<const ByteView> parts);

}  // namespace salvor
