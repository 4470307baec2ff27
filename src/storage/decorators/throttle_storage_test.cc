#include "storage/decorators/throttle_storage.h"

#include <ctime>
#include <thread>

#include <gtest/gtest.h>

#include "storage/decorators/forwarding_storage.h"
#include "storage/memory_storage.h"
#include "support/test_context.h"

namespace salvor {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kRate = 1 << 20;
constexpr size_t kTransfer = kRate / 10;  // a tenth of a second

class Throttle : public ::testing::Test {
 protected:
  static ObjectName pack(char digit) { return {ObjectKind::kPack, std::string(64, digit)}; }

  std::chrono::nanoseconds time(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::steady_clock::now() - begin;
  }

  test::TestContext context;
  Buffer content = Buffer::copy_of(as_bytes(std::string(kTransfer, 'x')));
};

TEST_F(Throttle, UploadsAndDownloadsTakeTheirShareOfTimeOverAllThreads) {
  ThrottleStorage storage(make_memory_storage(), {.upload_bytes_per_second = kRate});
  EXPECT_GE(
      time([&] {
        std::vector<std::jthread> threads;
        for (const char digit : {'1', '2', '3', '4'}) {
          threads.emplace_back([&, digit] { storage.put(*context, pack(digit), content.view()); });
        }
      }),
      390ms);

  ThrottleStorage reading(make_memory_storage(), {.download_bytes_per_second = kRate});
  reading.put(*context, pack('1'), content.view());
  Buffer out(kTransfer);
  EXPECT_GE(time([&] {
              (void)reading.get(*context, pack('1'), 1 << 30);
              reading.get_range(*context, pack('1'), 0, out.bytes());
            }),
            190ms);
  EXPECT_EQ(as_text(out.view()), as_text(content.view()));
}

TEST_F(Throttle, EachDirectionHasItsOwnLimit) {
  // At one byte a second a mistake would take a day.
  ThrottleStorage slow_reads(make_memory_storage(), {.download_bytes_per_second = 1});
  slow_reads.put(*context, pack('1'), content.view());
  EXPECT_TRUE(slow_reads.stat(*context, pack('1')));

  auto base = make_memory_storage();
  base->put(*context, pack('1'), content.view());
  ThrottleStorage slow_writes(std::move(base), {.upload_bytes_per_second = 1});
  EXPECT_EQ(slow_writes.get(*context, pack('1'), 1 << 30).size(), kTransfer);
}

TEST_F(Throttle, IdleTimeIsNotSavedUp) {
  ThrottleStorage storage(make_memory_storage(), {.upload_bytes_per_second = kRate});
  storage.put(*context, pack('1'), content.view());
  std::this_thread::sleep_for(300ms);
  EXPECT_GE(time([&] {
              storage.put(*context, pack('2'), content.view());
              storage.put(*context, pack('3'), content.view());
            }),
            190ms);
}

TEST_F(Throttle, AWaitEndsWhenTheRunIsStoppedAndNothingWasStored) {
  ThrottleStorage storage(make_memory_storage(), {.upload_bytes_per_second = 1});
  std::stop_source stop;
  const std::jthread later([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  const Context stoppable = (*context).with_stop(stop.get_token());
  EXPECT_THROW(storage.put(stoppable, pack('1'), content.view()), Error);
  EXPECT_FALSE(storage.stat(*context, pack('1')));
}

// Half past three in the night of some day, and so on; time itself runs as ever.
class FixedClock final : public Clock {
 public:
  explicit FixedClock(unsigned hour) {
    std::tm local{};
    local.tm_year = 126;
    local.tm_mday = 5;
    local.tm_hour = static_cast<int>(hour);
    local.tm_min = 30;
    local.tm_isdst = -1;
    now_ = std::chrono::system_clock::from_time_t(std::mktime(&local));
  }
  [[nodiscard]] WallTime now() const override { return now_; }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return std::chrono::steady_clock::now();
  }

 private:
  WallTime now_;
};

TEST_F(Throttle, TheHourDecides) {
  const BandwidthLimits limits{
      .upload_bytes_per_second = 1,  // a day and more
      .windows = parse_limit_windows("22:00-06:00=1024/0, 06:00-08:00=0/0")};
  ThrottleStorage storage(make_memory_storage(), limits);
  const Context tests = *context;
  const auto at = [&](const Clock& clock) {
    return Context{tests.stop, tests.events, clock, tests.random};
  };
  const FixedClock night(3);
  const FixedClock evening(23);
  const FixedClock morning(7);
  const FixedClock noon(12);
  EXPECT_GE(time([&] {
              storage.put(at(night), pack('1'), content.view());
              storage.put(at(evening), pack('2'), content.view());
            }),
            190ms);
  EXPECT_LT(time([&] { storage.put(at(morning), pack('3'), content.view()); }), 90s);
  std::stop_source stop;
  const std::jthread later([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  EXPECT_THROW(storage.put(at(noon).with_stop(stop.get_token()), pack('4'), content.view()), Error);
}

TEST(LimitWindows, HoldFromTheirBeginUpToTheirEnd) {
  const BandwidthLimits limits{.upload_bytes_per_second = 7,
                               .windows = parse_limit_windows("22:30-06:00=1/2,06:00-24:00=3/4")};
  const auto up = [&](unsigned hour, unsigned minute) {
    return limits.at(hour * 60 + minute).upload_bytes_per_second;
  };
  EXPECT_EQ(up(22, 30), 1024U);
  EXPECT_EQ(up(0, 0), 1024U);
  EXPECT_EQ(up(5, 59), 1024U);
  EXPECT_EQ(up(6, 0), 3072U);
  EXPECT_EQ(up(22, 29), 3072U);
  EXPECT_EQ(limits.at(0).download_bytes_per_second, 2048U);
  const BandwidthLimits some{.upload_bytes_per_second = 7,
                             .windows = parse_limit_windows("08:00-09:00=0/0")};
  EXPECT_EQ(some.at(8 * 60).upload_bytes_per_second, 0U);
  EXPECT_EQ(some.at(9 * 60).upload_bytes_per_second, 7U);
}

TEST(LimitWindows, NonsenseIsRefused) {
  for (const char* text :
       {"8", "08:00-09:00", "08:00-09:00=1", "08:00-09:00=1/2x", "24:00-09:00=1/1",
        "08:60-09:00=1/1", "08:00-24:01=1/1", "08:00-08:00=1/1", "08:00-09:00=-1/1",
        "a,08:00-09:00=1/1", "08:00-09:00=99999999999999999999/1"}) {
    EXPECT_THROW((void)parse_limit_windows(text), Error) << text;
  }
}

TEST_F(Throttle, RequestsAreCountedOverAllThreads) {
  ThrottleStorage storage(make_memory_storage(), {.requests_per_second = 40});
  EXPECT_GE(time([&] {
              std::vector<std::jthread> threads;
              for (int i = 0; i < 4; ++i) {
                threads.emplace_back([&] {
                  (void)storage.stat(*context, pack('1'));
                  storage.remove(*context, pack('1'));
                });
              }
            }),
            190ms);
}

// What the base was asked for.
class Asked final : public ForwardingStorage {
 public:
  using ForwardingStorage::ForwardingStorage;
  std::optional<Retention> retention(const Context&, const ObjectName&) override {
    return std::nullopt;
  }
  void extend_retention(const Context&, const ObjectName&, WallTime) override {}
  std::optional<StorageSpace> space(const Context&) override { return std::nullopt; }
  void remove_many(const Context&, std::span<const ObjectName> objects) override {
    removed.push_back(objects.size());
  }
  std::vector<size_t> removed;
};

TEST_F(Throttle, EveryKindOfRequestCounts) {
  auto base = std::make_unique<Asked>(make_memory_storage());
  Asked& asked = *base;
  ThrottleStorage storage(std::move(base), {.requests_per_second = 40});
  EXPECT_GE(time([&] { (void)storage.retention(*context, pack('1')); }), 24ms);
  EXPECT_GE(time([&] { storage.extend_retention(*context, pack('1'), WallTime{}); }), 49ms);
  EXPECT_GE(time([&] { (void)storage.space(*context); }), 24ms);
  const std::vector<ObjectName> objects(50, pack('1'));
  EXPECT_GE(time([&] { storage.remove_many(*context, objects); }), 1240ms);
  EXPECT_EQ(asked.removed, (std::vector<size_t>{40, 10}));
}

TEST_F(Throttle, WithoutLimitsNothingIsWrapped) {
  auto base = make_memory_storage();
  const Storage* raw = base.get();
  EXPECT_EQ(with_limits(std::move(base), {}).get(), raw);
}

}  // namespace
}  // namespace salvor
