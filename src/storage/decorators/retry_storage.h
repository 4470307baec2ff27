// Tries again what may succeed the next time. The one place for that: storages throw at once, and
// say with kUnreachable (and Error::advice) that trying again may help.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "storage/storage.h"

namespace salvor {

struct RetryOptions {
  // Waits grow from `first` by half each up to `longest`, each shortened by up to half at random so
  // that many callers do not come back together. A server's Retry-After is waited out in full.
  std::chrono::milliseconds first{500};
  std::chrono::milliseconds longest{60'000};
  // A call that still fails so long after its first failure has failed.
  std::chrono::milliseconds patience = std::chrono::minutes(15);
  // The same until the storage has answered for the first time: most likely its name is wrong.
  std::chrono::milliseconds first_patience = std::chrono::minutes(2);
  // Warnings are at least so far apart, however many calls fail meanwhile.
  std::chrono::milliseconds quiet = std::chrono::seconds(10);
  // A storage that has been asked to slow down gets one more call at a time back each so often.
  std::chrono::milliseconds recovery = std::chrono::seconds(5);
  // Waits that long, or throws Error{kCancelled}; for tests, whose clocks do not run by themselves.
  std::function<void(const Context&, std::chrono::milliseconds)> wait;
};

// Differs from its base in two points only: calls with kUnreachable are repeated, and `list` reads
// the whole listing before it reports anything (so that nothing is reported twice).
//
// At most traits().connections calls are under way at a time. Each "slow down" halves that number
// (once for all calls that were under way together), down to one.
//
// Repeating is safe because the contract of Storage makes it so: puts of what is there succeed when
// it is the same (a reply that was lost), removals of what is absent succeed. Thread-safe.
class RetryStorage final : public Storage {
 public:
  explicit RetryStorage(std::unique_ptr<Storage> base, RetryOptions options = {});

  struct Statistics {
    uint64_t retries = 0;
    uint64_t given_up = 0;
    uint64_t slow_downs = 0;     // how often the number of calls at a time was lowered
    unsigned calls_allowed = 0;  // at a time, now
  };
  [[nodiscard]] Statistics statistics() const;

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
  class Slot;

  template <class Call>
  auto repeat(const Context& context, Call call);
  // Books the failure and says how long to wait; throws `error` when enough was tried.
  std::chrono::milliseconds after_failure(const Context& context, const Error& error,
                                          MonotonicTime first_failure, unsigned attempt);
  void after_success(const Context& context, bool repeated);
  void lower_limit(MonotonicTime now);

  const std::unique_ptr<Storage> base_;
  const RetryOptions options_;
  const unsigned most_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  unsigned allowed_;
  unsigned active_ = 0;
  MonotonicTime lowered_at_{};
  MonotonicTime raised_at_{};
  bool answered_ = false;
  bool troubled_ = false;  // a warning is out and nothing has succeeded since
  MonotonicTime trouble_began_{};
  std::optional<MonotonicTime> warned_at_;
  Statistics statistics_;
};

}  // namespace salvor
