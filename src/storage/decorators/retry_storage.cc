#include "storage/decorators/retry_storage.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"

namespace salvor {
namespace {

using std::chrono::milliseconds;

void wait_really(const Context& context, milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, context.stop, time, [] { return false; });
  context.check_stopped();
}

milliseconds since(MonotonicTime begin, MonotonicTime now) {
  return std::chrono::duration_cast<milliseconds>(now - begin);
}

// "1.5 s", "40 s", "3 min"
std::string spoken(milliseconds time) {
  if (time < std::chrono::seconds(10)) {
    return std::to_string(time.count() / 1000) + "." + std::to_string(time.count() % 1000 / 100) +
           " s";
  }
  if (time < std::chrono::minutes(2)) {
    return std::to_string(time.count() / 1000) + " s";
  }
  return std::to_string(time.count() / 60'000) + " min";
}

RetryOptions completed(RetryOptions options) {
  if (!options.wait) {
    options.wait = wait_really;
  }
  return options;
}

}  // namespace

// The right to have one call under way.
class RetryStorage::Slot {
 public:
  Slot(RetryStorage& storage, const Context& context) : storage_(storage) {
    std::unique_lock lock(storage_.mutex_);
    storage_.changed_.wait(lock, context.stop,
                           [&] { return storage_.active_ < storage_.allowed_; });
    context.check_stopped();
    ++storage_.active_;
  }
  ~Slot() {
    {
      const std::scoped_lock lock(storage_.mutex_);
      --storage_.active_;
    }
    storage_.changed_.notify_one();
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

 private:
  RetryStorage& storage_;
};

RetryStorage::RetryStorage(std::unique_ptr<Storage> base, RetryOptions options)
    : base_(std::move(base)),
      options_(completed(std::move(options))),
      most_(std::max(1U, base_->traits().connections)),
      allowed_(most_) {}

RetryStorage::Statistics RetryStorage::statistics() const {
  const std::scoped_lock lock(mutex_);
  Statistics result = statistics_;
  result.calls_allowed = allowed_;
  return result;
}

template <class Call>
auto RetryStorage::repeat(const Context& context, Call call) {
  MonotonicTime first_failure{};
  for (unsigned attempt = 1;; ++attempt) {
    milliseconds pause{0};
    try {
      const Slot slot(*this, context);
      if constexpr (std::is_void_v<decltype(call())>) {
        call();
        after_success(context, attempt > 1);
        return;
      } else {
        auto result = call();
        after_success(context, attempt > 1);
        return result;
      }
    } catch (const Error& error) {
      if (!error.retryable()) {
        throw;
      }
      if (attempt == 1) {
        first_failure = context.clock.monotonic();
      }
      pause = after_failure(context, error, first_failure, attempt);
    }
    options_.wait(context, pause);
  }
}

milliseconds RetryStorage::after_failure(const Context& context, const Error& error,
                                         MonotonicTime first_failure, unsigned attempt) {
  context.check_stopped();
  const MonotonicTime now = context.clock.monotonic();
  const double grown = static_cast<double>(options_.first.count()) * std::pow(1.5, attempt - 1);
  const auto whole = milliseconds(
      static_cast<int64_t>(std::min(grown, static_cast<double>(options_.longest.count()))));
  const auto half = static_cast<uint64_t>(whole.count() / 2);
  const auto random = milliseconds(static_cast<int64_t>(context.random.next_u64() % (half + 1)));
  const milliseconds pause = std::max(whole - random, error.advice().after + random / 4);

  std::unique_lock lock(mutex_);
  const milliseconds patience = answered_ ? options_.patience : options_.first_patience;
  const milliseconds tried = since(first_failure, now);
  if (tried + pause > patience) {
    ++statistics_.given_up;
    lock.unlock();
    Error last = error;
    last.within("gave up after " + std::to_string(attempt) + " attempts in " + spoken(tried) +
                (error.advice().after + tried > patience
                     ? " (the server asks to wait for " + spoken(error.advice().after) + ")"
                     : ""));
    throw last;
  }
  ++statistics_.retries;
  if (error.advice().slow_down) {
    lower_limit(now);
  }
  if (!troubled_) {
    troubled_ = true;
    trouble_began_ = now;
  }
  const bool warn = !warned_at_ || since(*warned_at_, now) >= options_.quiet;
  if (warn) {
    warned_at_ = now;
  }
  lock.unlock();
  if (warn) {
    context.events.on(Warning{error.message() + "; trying again in " + spoken(pause) +
                                  " (attempt " + std::to_string(attempt + 1) + ", giving up in " +
                                  spoken(patience - tried) + ")",
                              error.hint()});
  }
  return pause;
}

void RetryStorage::after_success(const Context& context, bool repeated) {
  const MonotonicTime now = context.clock.monotonic();
  milliseconds trouble{0};
  bool raised = false;
  {
    const std::scoped_lock lock(mutex_);
    answered_ = true;
    if (repeated && std::exchange(troubled_, false)) {
      trouble = since(trouble_began_, now);
    }
    if (allowed_ < most_ && since(std::max(lowered_at_, raised_at_), now) >= options_.recovery) {
      ++allowed_;
      raised_at_ = now;
      raised = true;
    }
  }
  if (raised) {
    changed_.notify_one();
  }
  // A hiccup needs no all-clear.
  if (trouble >= options_.quiet) {
    context.events.on(
        Warning{base_->traits().description + " answers again after " + spoken(trouble), ""});
  }
}

// Under mutex_. All calls that were under way when the server had enough will be told so: that
// counts once.
void RetryStorage::lower_limit(MonotonicTime now) {
  if (statistics_.slow_downs > 0 && since(lowered_at_, now) < std::chrono::seconds(1)) {
    return;
  }
  allowed_ = std::max(1U, allowed_ / 2);
  lowered_at_ = now;
  ++statistics_.slow_downs;
}

void RetryStorage::create(const Context& context) {
  repeat(context, [&] { base_->create(context); });
}

void RetryStorage::put(const Context& context, const ObjectName& object,
                       std::span<const ByteView> parts) {
  repeat(context, [&] { base_->put(context, object, parts); });
}

void RetryStorage::replace_config(const Context& context, ByteView bytes) {
  repeat(context, [&] { base_->replace_config(context, bytes); });
}

Buffer RetryStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  return repeat(context, [&] { return base_->get(context, object, limit_bytes); });
}

void RetryStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                             MutableBytes out) {
  repeat(context, [&] { base_->get_range(context, object, offset, out); });
}

std::optional<ObjectInfo> RetryStorage::stat(const Context& context, const ObjectName& object) {
  return repeat(context, [&] { return base_->stat(context, object); });
}

void RetryStorage::list(const Context& context, ObjectKind kind,
                        const std::function<void(const ObjectInfo&)>& on_object) {
  list_prefix(context, kind, "", on_object);
}

void RetryStorage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                               const std::function<void(const ObjectInfo&)>& on_object) {
  const std::vector<ObjectInfo> objects = repeat(context, [&] {
    std::vector<ObjectInfo> found;
    base_->list_prefix(context, kind, prefix,
                       [&](const ObjectInfo& object) { found.push_back(object); });
    return found;
  });
  for (const ObjectInfo& object : objects) {
    context.check_stopped();
    on_object(object);
  }
}

void RetryStorage::remove(const Context& context, const ObjectName& object) {
  repeat(context, [&] { base_->remove(context, object); });
}

void RetryStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  repeat(context, [&] { base_->remove_many(context, objects); });
}

std::vector<Leftover> RetryStorage::leftovers(const Context& context, std::chrono::seconds age) {
  return repeat(context, [&] { return base_->leftovers(context, age); });
}

void RetryStorage::remove_leftovers(const Context& context, std::span<const Leftover> leftovers) {
  repeat(context, [&] { base_->remove_leftovers(context, leftovers); });
}

std::optional<StorageSpace> RetryStorage::space(const Context& context) {
  return repeat(context, [&] { return base_->space(context); });
}

std::optional<Retention> RetryStorage::retention(const Context& context, const ObjectName& object) {
  return repeat(context, [&] { return base_->retention(context, object); });
}

void RetryStorage::extend_retention(const Context& context, const ObjectName& object,
                                    WallTime until) {
  repeat(context, [&] { base_->extend_retention(context, object, until); });
}

WallTime RetryStorage::server_time(const Context& context) {
  return repeat(context, [&] { return base_->server_time(context); });
}

}  // namespace salvor
