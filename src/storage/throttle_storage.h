// Keeps the bandwidth to a storage below a limit.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "storage/storage.h"

namespace salvor {

struct BandwidthLimits {
  uint64_t upload_bytes_per_second = 0;    // 0: no limit
  uint64_t download_bytes_per_second = 0;  // 0: no limit

  [[nodiscard]] bool any() const {
    return upload_bytes_per_second != 0 || download_bytes_per_second != 0;
  }
};

// Lets `bytes` pass at a rate, over all threads together. Nothing is saved up while idle, so no
// second carries more than the rate plus one transfer. Thread-safe.
class RateLimiter {
 public:
  explicit RateLimiter(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Blocks until the bytes' share of time is over. Throws Error{kCancelled}.
  void pass(const Context& context, uint64_t bytes);

 private:
  const uint64_t bytes_per_second_;  // 0: no limit
  std::mutex mutex_;
  std::condition_variable_any wake_;
  MonotonicTime free_at_{};  // when all transfers let through so far have had their time
};

// Contents count, names and listings do not. A transfer is as fast as the base makes it; the time
// it should have taken is waited before an upload and after a download. Thread-safe.
class ThrottleStorage final : public Storage {
 public:
  ThrottleStorage(std::unique_ptr<Storage> base, const BandwidthLimits& limits)
      : base_(std::move(base)),
        upload_(limits.upload_bytes_per_second),
        download_(limits.download_bytes_per_second) {}

  using Storage::put;
  void create(const Context& context) override { base_->create(context); }
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override {
    return base_->stat(context, object);
  }
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    base_->list(context, kind, on_object);
  }
  void remove(const Context& context, const ObjectName& object) override {
    base_->remove(context, object);
  }
  void remove_many(const Context& context, std::span<const ObjectName> objects) override {
    base_->remove_many(context, objects);
  }
  std::optional<StorageSpace> space(const Context& context) override {
    return base_->space(context);
  }
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override {
    return base_->retention(context, object);
  }
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override {
    base_->extend_retention(context, object, until);
  }
  [[nodiscard]] StorageTraits traits() const override { return base_->traits(); }

 private:
  const std::unique_ptr<Storage> base_;
  RateLimiter upload_;
  RateLimiter download_;
};

// `base` itself when there is no limit.
[[nodiscard]] std::unique_ptr<Storage> with_limits(std::unique_ptr<Storage> base,
                                                   const BandwidthLimits& limits);

}  // namespace salvor
