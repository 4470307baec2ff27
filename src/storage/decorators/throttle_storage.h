// Keeps the bandwidth to a storage below a limit.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "storage/decorators/forwarding_storage.h"

namespace salvor {

// From `begin` up to `end` (minutes after local midnight; over midnight when end <= begin) other
// rates apply.
struct LimitWindow {
  unsigned begin_minute = 0;
  unsigned end_minute = 0;
  uint64_t upload_bytes_per_second = 0;    // 0: no limit
  uint64_t download_bytes_per_second = 0;  // 0: no limit
};

struct BandwidthLimits {
  uint64_t upload_bytes_per_second = 0;    // 0: no limit
  uint64_t download_bytes_per_second = 0;  // 0: no limit
  std::vector<LimitWindow> windows;        // the first that holds counts; outside, the two above
  uint64_t requests_per_second = 0;        // calls of the storage; 0: no limit

  [[nodiscard]] bool any() const {
    return upload_bytes_per_second != 0 || download_bytes_per_second != 0 || !windows.empty() ||
           requests_per_second != 0;
  }
  // The limits that hold at a minute after local midnight.
  [[nodiscard]] LimitWindow at(unsigned minute) const;
};

// "08:00-18:00=500/2000, 22:00-06:00=0/0": upload/download in KiB/s, 0 for no limit. Throws
// Error{kUsage}.
[[nodiscard]] std::vector<LimitWindow> parse_limit_windows(std::string_view text);

// Lets `amount` (bytes, requests) pass at a rate a second, over all threads together. Nothing is
// saved up while idle, so no second carries more than the rate plus one transfer. Thread-safe.
class RateLimiter {
 public:
  // Blocks until the amount's share of time is over; a rate of 0 is no limit. Throws
  // Error{kCancelled}.
  void pass(const Context& context, uint64_t amount, uint64_t rate);

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  MonotonicTime free_at_{};  // when all that was let through so far has had its time
};

// Contents count, names and listings do not. A transfer is as fast as the base makes it; the time
// it should have taken is waited before an upload and after a download, at the rate that holds
// when it begins. Thread-safe.
class ThrottleStorage final : public ForwardingStorage {
 public:
  ThrottleStorage(std::unique_ptr<Storage> base, const BandwidthLimits& limits)
      : ForwardingStorage(std::move(base)), limits_(limits) {}

  using Storage::put;
  void create(const Context& context) override {
    request(context);
    base_->create(context);
  }
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override {
    request(context);
    return base_->stat(context, object);
  }
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    request(context);
    base_->list(context, kind, on_object);
  }
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override {
    request(context);
    base_->list_prefix(context, kind, prefix, on_object);
  }
  void remove(const Context& context, const ObjectName& object) override {
    request(context);
    base_->remove(context, object);
  }
  // Each object counts, as most servers take them one by one.
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;
  std::vector<Leftover> leftovers(const Context& context, std::chrono::seconds age) override {
    request(context);
    return base_->leftovers(context, age);
  }
  void remove_leftovers(const Context& context, std::span<const Leftover> leftovers) override {
    request(context);
    base_->remove_leftovers(context, leftovers);
  }
  std::optional<StorageSpace> space(const Context& context) override {
    request(context);
    return base_->space(context);
  }
  std::optional<Retention> retention(const Context& context, const ObjectName& object) override {
    request(context);
    return base_->retention(context, object);
  }
  // Looks, and changes.
  void extend_retention(const Context& context, const ObjectName& object, WallTime until) override {
    request(context, 2);
    base_->extend_retention(context, object, until);
  }

 private:
  void request(const Context& context, uint64_t count = 1);
  void upload(const Context& context, uint64_t bytes);
  void download(const Context& context, uint64_t bytes);

  const BandwidthLimits limits_;
  RateLimiter requests_;
  RateLimiter upload_;
  RateLimiter download_;
};

// `base` itself when there is no limit.
[[nodiscard]] std::unique_ptr<Storage> with_limits(std::unique_ptr<Storage> base,
                                                   const BandwidthLimits& limits);

}  // namespace salvor
