#include "storage/throttle_storage.h"

#include <thread>

#include <gtest/gtest.h>

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

TEST_F(Throttle, WithoutLimitsNothingIsWrapped) {
  auto base = make_memory_storage();
  const Storage* raw = base.get();
  EXPECT_EQ(with_limits(std::move(base), {}).get(), raw);
}

}  // namespace
}  // namespace salvor
