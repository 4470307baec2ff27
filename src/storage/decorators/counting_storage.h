// Counts what a storage is asked: requests are what some places bill, and what latency multiplies.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>

#include "storage/storage.h"

namespace salvor {

enum class RequestKind : uint8_t { kPut, kGet, kStat, kList, kRemove, kOther };
inline constexpr size_t kRequestKinds = 6;
[[nodiscard]] std::string_view request_kind_name(RequestKind kind);  // "put"

// Attempts, failed ones included. A listing counts once, however many pages it has; a removal
// counts once for each object. Thread-safe.
struct RequestCounts {
  std::array<std::atomic<uint64_t>, kRequestKinds> requests{};
  std::atomic<uint64_t> bytes_sent = 0;  // contents, as far as they went through
  std::atomic<uint64_t> bytes_received = 0;

  [[nodiscard]] uint64_t of(RequestKind kind) const { return requests[static_cast<size_t>(kind)]; }
};

// Passes everything on. `counts` must outlive it. Put under what tries again, so that repetitions
// count.
class CountingStorage final : public Storage {
 public:
  CountingStorage(std::unique_ptr<Storage> base, RequestCounts& counts)
      : base_(std::move(base)), counts_(counts) {}

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
  [[nodiscard]] StorageTraits traits() const override { return base_->traits(); }

 private:
  Storage& counted(RequestKind kind, uint64_t count = 1) {
    counts_.requests[static_cast<size_t>(kind)] += count;
    return *base_;
  }

  const std::unique_ptr<Storage> base_;
  RequestCounts& counts_;
};

}  // namespace salvor
