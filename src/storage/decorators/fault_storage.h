// A storage that fails as told, for tests of everything above. It stands in src/ because the fault
// drills of a running installation use it too; nothing opens one by itself.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <vector>

#include "storage/decorators/forwarding_storage.h"

namespace salvor {

enum class StorageCall : uint8_t {
  kCreate,
  kPut,
  kReplaceConfig,
  kGet,
  kGetRange,
  kStat,
  kList,
  kRemove
};

enum class FaultEffect : uint8_t {
  kFailBefore,  // nothing happens, the call throws
  kLoseReply,   // it happens, and the call throws all the same
  kTearWrite,   // put, replace_config: only the first half is stored (a storage that breaks its
                // promise)
  kFlipBit,     // one bit in the middle is wrong: of what is read, or silently of what is stored
  kDelay,       // it only takes longer
};

// What goes wrong, and when. Calls that match `call` and `kind` are counted from the moment the
// fault was added; the `nth` of them (from 1) is the first to be hit and `count` in a row are.
struct Fault {
  std::optional<StorageCall> call;  // any when empty
  std::optional<ObjectKind> kind;   // any when empty
  uint64_t nth = 1;
  uint64_t count = 1;  // kForever: all from then on
  FaultEffect effect = FaultEffect::kFailBefore;
  ErrorCode code = ErrorCode::kUnreachable;  // of the Error that is thrown
  std::chrono::milliseconds delay{0};        // before anything else; ends early when stopped
  RetryAdvice advice{};                      // of that Error
  static constexpr uint64_t kForever = UINT64_MAX;
};

// Thread-safe. With concurrent callers the order of the calls, and so which one is the n-th, is
// theirs.
class FaultStorage final : public ForwardingStorage {
 public:
  explicit FaultStorage(std::unique_ptr<Storage> base) : ForwardingStorage(std::move(base)) {}

  void add(const Fault& fault);
  // No more faults and no capacity; counters stay.
  void clear();
  // From now on at most `bytes` more can be stored: put and replace_config beyond throw
  // Error{kStorageFull} without effect. Removing gives its bytes back.
  void set_free_bytes(uint64_t bytes);

  [[nodiscard]] uint64_t calls(StorageCall call) const;
  [[nodiscard]] uint64_t faults_hit() const { return hit_; }

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
  // One by one, past the base: each may be hit.
  void remove_many(const Context& context, std::span<const ObjectName> objects) override {
    Storage::remove_many(context, objects);  // NOLINT(bugprone-parent-virtual-call)
  }

 private:
  struct Armed {
    Fault fault;
    uint64_t seen = 0;
  };
  struct Hit {
    std::optional<Fault> fault;  // what befalls this call
    [[nodiscard]] bool is(FaultEffect effect) const { return fault && fault->effect == effect; }
  };

  // Counts the call, waits, and throws when it is to fail before.
  Hit begin(const Context& context, StorageCall call, ObjectKind kind);
  // Throws when the reply is lost (or the write was torn).
  static void end(const Hit& hit);
  void take_space(const Context& context, const ObjectName& object, uint64_t size_bytes);

  mutable std::mutex mutex_;
  std::vector<Armed> armed_;
  std::optional<uint64_t> free_bytes_;
  std::array<std::atomic<uint64_t>, 8> calls_{};
  std::atomic<uint64_t> hit_ = 0;
};

}  // namespace salvor
