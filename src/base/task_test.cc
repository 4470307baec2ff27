#include "base/task.h"

#include <atomic>
#include <latch>

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

TEST(ThreadPool, RunsWhatIsQueuedBeforeItEnds) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool("test", 2);
    for (int i = 0; i < 1000; ++i) {
      pool.post([&] { ++done; });
    }
  }
  EXPECT_EQ(done, 1000);
}

TEST(TaskGroup, NeverHasMoreThanTheLimitUnderWay) {
  ThreadPool pool("test", 4);
  TaskGroup group(pool, {}, 3);
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  for (int i = 0; i < 500; ++i) {
    ++now;
    group.run([&] {
      most = std::max(most.load(), now.load());
      --now;
    });
  }
  group.wait();
  EXPECT_LE(most, 4);  // three, and the one that waits to be let in
}

TEST(TaskGroup, TasksNotYetBegunAreDroppedAfterAFailureButTheirThingsReleased) {
  ThreadPool pool("test", 1);
  std::latch failed(1);
  std::atomic<int> ran = 0;
  const auto owned = std::make_shared<int>(1);
  TaskGroup group(pool, {});
  group.run([&] {
    failed.wait();
    throw Error(ErrorCode::kDamaged, "first");
  });
  for (int i = 0; i < 10; ++i) {
    group.run([&ran, owned] { ++ran; });
  }
  failed.count_down();
  try {
    group.wait();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  }
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(TaskGroup, TheDestructorStopsAndWaits) {
  ThreadPool pool("test", 2);
  std::atomic<bool> ended = false;
  {
    std::latch begun(1);
    TaskGroup group(pool, {});
    group.run([&] {
      begun.count_down();
      while (!group.stop_token().stop_requested()) {
        std::this_thread::yield();
      }
      ended = true;
    });
    begun.wait();
  }
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace salvor
