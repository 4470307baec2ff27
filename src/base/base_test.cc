#include <atomic>
#include <stdexcept>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/format.h"
#include "base/memory_budget.h"
#include "base/task.h"

namespace salvor {
namespace {

TEST(Base64, RoundTripsEveryLength) {
  std::string raw;
  for (int i = 0; i < 70; ++i) {
    Buffer decoded;
    ASSERT_TRUE(from_base64(to_base64(as_bytes(raw)), decoded));
    EXPECT_EQ(as_text(decoded.view()), raw);
    raw += static_cast<char>(i * 37);
  }
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  Buffer out;
  for (const char* bad : {"A", "AA=A", "=AAA", "AB==", "AAB=", "A-==", "AAAA AAA"}) {
    EXPECT_FALSE(from_base64(bad, out)) << bad;
  }
}

TEST(Format, BytesReadAsResticPrintsThem) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1536), "1.500 KiB");
  EXPECT_EQ(format_bytes(uint64_t{5} << 40), "5.000 TiB");
}

TEST(Format, ParsesSizesAndRefusesNonsense) {
  EXPECT_EQ(parse_bytes("64k"), 65536U);
  EXPECT_EQ(parse_bytes("1.5GiB"), 1610612736U);
  EXPECT_EQ(parse_bytes("10MB"), 10485760U);
  for (const char* bad : {"", "k", "-1", "5x", "1e400", "inf", "9999999999T"}) {
    EXPECT_FALSE(parse_bytes(bad).has_value()) << bad;
  }
}

TEST(Format, TerminalEscapesAreDefused) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(printable("gr\xc3\xbc\xff"), "gr\xc3\xbc\\xff");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");
}

TEST(TaskGroup, FirstExceptionStopsTheGroupAndIsRethrown) {
  ThreadPool pool("test", 2);
  TaskGroup group(pool, {});
  group.run([] { throw std::runtime_error("boom"); });
  EXPECT_THROW(group.wait(), std::runtime_error);
  EXPECT_THROW(group.run([] {}), std::runtime_error);
}

TEST(TaskGroup, CancelledRunNeverLooksSuccessful) {
  ThreadPool pool("test", 2);
  std::stop_source stop;
  TaskGroup group(pool, stop.get_token());
  std::atomic<int> done = 0;
  group.run([&] { ++done; });
  stop.request_stop();
  EXPECT_THROW(group.wait(), Error);
}

TEST(TaskGroup, TasksMayAddTasks) {
  ThreadPool pool("test", 2);
  TaskGroup group(pool, {});
  std::atomic<int> done = 0;
  group.run([&] {
    for (int i = 0; i < 100; ++i) {
      group.run([&] { ++done; });
    }
  });
  group.wait();
  EXPECT_EQ(done, 100);
}

TEST(MemoryBudget, BlocksUntilReleasedAndGrantsOversizeAlone) {
  MemoryBudget budget(100);
  auto big = budget.acquire(1000, {});
  std::atomic<bool> got = false;
  std::jthread waiter([&] {
    auto lease = budget.acquire(1, {});
    got = true;
  });
  EXPECT_FALSE(got);
  big.release();
  waiter.join();
  EXPECT_TRUE(got);
  EXPECT_EQ(budget.used_bytes(), 0U);
}

}  // namespace
}  // namespace salvor
