#include "storage/decorators/retry_storage.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "storage/decorators/fault_storage.h"
#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// Stands still but for what is waited.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return WallTime(1'700'000'000s) + passed_.load(); }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return MonotonicTime(1h) + passed_.load();
  }
  void pass(milliseconds time) { passed_ = passed_.load() + time; }

 private:
  std::atomic<std::chrono::nanoseconds> passed_{};
};

class Retry : public testing::Test {
 protected:
  void start(RetryOptions options = {}) {
    options.wait = [this](const Context& stopped, milliseconds time) {
      stopped.check_stopped();
      waits_.push_back(time);
      clock_.pass(time);
    };
    storage_ = std::make_unique<RetryStorage>(borrow_storage(faults_), options);
  }
  [[nodiscard]] Context context() { return {stop_.get_token(), events_, clock_, random_}; }
  static ObjectName name(std::string_view content) {
    return named_by_hash(ObjectKind::kPack, as_bytes(content));
  }
  void put(std::string_view content) { storage_->put(context(), name(content), as_bytes(content)); }
  [[nodiscard]] std::vector<std::string> warnings() const {
    std::vector<std::string> texts;
    for (const Event& event : events_.events()) {
      texts.push_back(std::get<Warning>(event).message);
    }
    return texts;
  }

  std::stop_source stop_;
  EventLog events_;
  FakeClock clock_;
  SeededRandom random_{7};
  std::unique_ptr<Storage> base_ = make_memory_storage();
  FaultStorage faults_{borrow_storage(*base_)};
  std::unique_ptr<RetryStorage> storage_;
  std::vector<milliseconds> waits_;
};

TEST_F(Retry, TriesAgainWithGrowingWaits) {
  start();
  faults_.add({.call = StorageCall::kPut, .count = 6});
  put("content");
  EXPECT_EQ(as_text(base_->get(context(), name("content")).view()), "content");
  ASSERT_EQ(waits_.size(), 6U);
  double whole = 500;
  for (const milliseconds wait : waits_) {
    EXPECT_GE(static_cast<double>(wait.count()), whole / 2 - 1);
    EXPECT_LE(static_cast<double>(wait.count()), whole);
    whole *= 1.5;
  }
  EXPECT_EQ(storage_->statistics().retries, 6U);
}

TEST_F(Retry, EveryCallIsRepeated) {
  start();
  put("content");
  faults_.add({.call = StorageCall::kCreate});
  storage_->create(context());
  faults_.add({.call = StorageCall::kGet});
  EXPECT_EQ(as_text(storage_->get(context(), name("content"), 100).view()), "content");
  faults_.add({.call = StorageCall::kGetRange});
  Buffer out(3);
  storage_->get_range(context(), name("content"), 1, out.bytes());
  EXPECT_EQ(as_text(out.view()), "ont");
  faults_.add({.call = StorageCall::kStat});
  EXPECT_TRUE(storage_->stat(context(), name("content")).has_value());
  faults_.add({.call = StorageCall::kList});
  EXPECT_EQ(storage_->list_all(context(), ObjectKind::kPack).size(), 1U);
  faults_.add({.call = StorageCall::kReplaceConfig});
  storage_->replace_config(context(), as_bytes("config"));
  faults_.add({.call = StorageCall::kRemove});
  storage_->remove(context(), name("content"));
  EXPECT_FALSE(base_->stat(context(), name("content")).has_value());
  EXPECT_EQ(faults_.faults_hit(), 7U);
  EXPECT_EQ(storage_->statistics().retries, 7U);
}

TEST_F(Retry, AListingThatBrokeOffReportsNothingTwice) {
  start();
  for (int i = 0; i < 5; ++i) {
    put(std::to_string(i));
  }
  faults_.add({.call = StorageCall::kList, .count = 2, .effect = FaultEffect::kLoseReply});
  int seen = 0;
  storage_->list(context(), ObjectKind::kPack, [&](const ObjectInfo&) { ++seen; });
  EXPECT_EQ(seen, 5);
}

TEST_F(Retry, WhatWillNotChangeIsNotTriedAgain) {
  start();
  for (const ErrorCode code : {ErrorCode::kPermission, ErrorCode::kStorageFull,
                               ErrorCode::kNotFound, ErrorCode::kDamaged, ErrorCode::kFailed}) {
    faults_.add({.call = StorageCall::kPut, .code = code});
    EXPECT_EQ(code_of([&] { put("content"); }), code);
  }
  EXPECT_TRUE(waits_.empty());
  EXPECT_TRUE(warnings().empty());
}

TEST_F(Retry, LostRepliesAreRecognised) {
  start();
  faults_.add({.call = StorageCall::kPut, .count = 2, .effect = FaultEffect::kLoseReply});
  faults_.add({.call = StorageCall::kRemove, .effect = FaultEffect::kLoseReply});
  put("content");
  storage_->remove(context(), name("content"));
  EXPECT_FALSE(base_->stat(context(), name("content")).has_value());
}

TEST_F(Retry, GivesUpWhenItsTimeIsOverAndSaysSo) {
  start({.patience = 60s});
  put("first");
  faults_.add({.call = StorageCall::kPut, .count = Fault::kForever});
  const MonotonicTime begin = clock_.monotonic();
  try {
    put("second");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnreachable);
    EXPECT_TRUE(error.message().starts_with("gave up after ")) << error.message();
  }
  EXPECT_LE(clock_.monotonic() - begin, 60s);
  EXPECT_GE(clock_.monotonic() - begin, 20s);
  EXPECT_EQ(storage_->statistics().given_up, 1U);
}

TEST_F(Retry, HasLessPatienceWithAStorageThatNeverAnswered) {
  start({.patience = 1h, .first_patience = 30s});
  faults_.add({.count = Fault::kForever});
  EXPECT_EQ(code_of([&] { put("first"); }), ErrorCode::kUnreachable);
  EXPECT_LE(clock_.monotonic() - MonotonicTime(1h), 30s);
}

TEST_F(Retry, WaitsAsLongAsTheServerAsks) {
  start();
  faults_.add({.call = StorageCall::kPut, .advice = {.after = 20s}});
  put("content");
  ASSERT_EQ(waits_.size(), 1U);
  EXPECT_GE(waits_[0], 20s);
  // Unless that is beyond all patience.
  faults_.add({.call = StorageCall::kPut, .advice = {.after = 16min}});
  EXPECT_EQ(code_of([&] { put("other"); }), ErrorCode::kUnreachable);
  EXPECT_EQ(waits_.size(), 1U);
}

TEST_F(Retry, StoppingEndsTheWaiting) {
  RetryStorage storage(borrow_storage(faults_),
                       {.first = 1h, .longest = 1h, .patience = 24h, .first_patience = 24h});
  faults_.add({.count = Fault::kForever});
  std::jthread stopper([&] {
    std::this_thread::sleep_for(30ms);
    stop_.request_stop();
  });
  EXPECT_EQ(code_of([&] { storage.put(context(), name("x"), as_bytes("x")); }),
            ErrorCode::kCancelled);
}

TEST_F(Retry, APersonSeesThatItTriesAgainButNotForEachCall) {
  start();
  faults_.add({.call = StorageCall::kPut, .count = 12});
  put("content");
  const std::vector<std::string> texts = warnings();
  ASSERT_GE(texts.size(), 3U);
  EXPECT_LT(texts.size(), 12U);
  EXPECT_NE(texts.front().find("trying again in"), std::string::npos) << texts.front();
  EXPECT_NE(texts.back().find("answers again after"), std::string::npos) << texts.back();
}

// Notes how many calls are under way at a time.
class Busy final : public Storage {
 public:
  explicit Busy(Storage& base) : base_(base) {}
  void create(const Context&) override {}
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    const int now = ++active_;
    int most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
    std::this_thread::sleep_for(1ms);
    --active_;
    base_.put(context, object, parts);
  }
  void replace_config(const Context&, ByteView) override {}
  Buffer get(const Context&, const ObjectName&, uint64_t) override { return {}; }
  void get_range(const Context&, const ObjectName&, uint64_t, MutableBytes) override {}
  std::optional<ObjectInfo> stat(const Context&, const ObjectName&) override { return {}; }
  void list(const Context&, ObjectKind, const std::function<void(const ObjectInfo&)>&) override {}
  void remove(const Context&, const ObjectName&) override {}
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = 8, .remote = true, .description = "busy place"};
  }
  [[nodiscard]] int take_most() { return most_.exchange(0); }

 private:
  Storage& base_;
  std::atomic<int> active_ = 0;
  std::atomic<int> most_ = 0;
};

TEST_F(Retry, SlowDownMeansFewerCallsAtATimeUntilItGoesWell) {
  Busy busy(faults_);
  RetryStorage storage(borrow_storage(busy),
                       {.wait = [&](const Context&, milliseconds time) { clock_.pass(time); }});
  const auto put_many = [&](int from) {
    std::vector<std::jthread> threads;
    for (int i = from; i < from + 20; ++i) {
      threads.emplace_back([&, i] {
        const std::string content = std::to_string(i);
        storage.put(context(), name(content), as_bytes(content));
      });
    }
  };
  put_many(0);
  EXPECT_LE(busy.take_most(), 8);
  EXPECT_EQ(storage.statistics().calls_allowed, 8U);
  faults_.add({.call = StorageCall::kPut, .advice = {.slow_down = true}});
  put_many(100);
  EXPECT_EQ(storage.statistics().calls_allowed, 4U);
  (void)busy.take_most();
  put_many(200);
  EXPECT_LE(busy.take_most(), 4);
  for (int i = 300; i < 310; ++i) {
    clock_.pass(5s);
    storage.put(context(), name(std::to_string(i)), as_bytes(std::to_string(i)));
  }
  EXPECT_EQ(storage.statistics().calls_allowed, 8U);
  EXPECT_EQ(storage.statistics().slow_downs, 1U);
}

}  // namespace
}  // namespace salvor::test
