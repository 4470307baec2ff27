#include "repo/lock.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "storage/decorators/counting_storage.h"
#include "storage/decorators/forwarding_storage.h"
#include "storage/local/local_storage.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

using test::SmallRepository;

TEST(RepositoryLock, ExclusiveExcludesSharedAndTheOtherWayRound) {
  SmallRepository made;
  {
    const RepositoryLock shared(made.context(), made.repository(), LockMode::kShared);
    shared.confirm(made.context());
    const RepositoryLock second(made.context(), made.repository(), LockMode::kShared);
    EXPECT_THROW(RepositoryLock(made.context(), made.repository(), LockMode::kExclusive), Error);
  }
  EXPECT_EQ(made.list(ObjectKind::kLock).size(), 0U);
  const RepositoryLock exclusive(made.context(), made.repository(), LockMode::kExclusive);
  try {
    const RepositoryLock shared(made.context(), made.repository(), LockMode::kShared);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kLocked);
    EXPECT_NE(error.message().find("exclusively"), std::string::npos);
  }
}

TEST(RepositoryLock, AStolenLockIsNoticedBeforeAnythingIsDeleted) {
  SmallRepository made;
  const RepositoryLock lock(made.context(), made.repository(), LockMode::kExclusive);
  EXPECT_EQ(remove_locks(made.context(), made.repository(), true), 1U);
  EXPECT_THROW(lock.confirm(made.context()), Error);
}

TEST(RepositoryLock, TwoThatMissedEachOtherAreFoundByTheSecondLook) {
  SmallRepository made;
  const RepositoryLock shared(made.context(), made.repository(), LockMode::kShared);
  LockDocument other;
  other.exclusive = true;
  other.time = LocalZone().stamp(std::chrono::system_clock::now());
  other.hostname = "elsewhere";
  made.repository().save_document(made.context(), ObjectKind::kLock, as_bytes(encode_lock(other)));
  EXPECT_THROW(shared.confirm(made.context()), Error);
  EXPECT_TRUE(shared.stop_token().stop_requested());
}

// In memory, and said to be far away.
class FarStorage final : public ForwardingStorage {
 public:
  FarStorage() : ForwardingStorage(make_memory_storage()) {}
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = 5, .remote = true, .description = "far away"};
  }
};

class LaterClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return clock_.now(); }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return clock_.monotonic() + later.load();
  }
  std::atomic<std::chrono::milliseconds> later{};

 private:
  SystemClock clock_;
};

TEST(RepositoryLock, ARemoteRepositoryIsAskedOnceASecond) {
  RequestCounts counts;
  SmallRepository made(2,
                       std::make_unique<CountingStorage>(std::make_unique<FarStorage>(), counts));
  LaterClock clock;
  const Context before = made.context();
  const Context context{before.stop, before.events, clock, before.random};
  const RepositoryLock lock(context, made.repository(), LockMode::kShared);
  lock.confirm(context);  // waits for the second look, which has seen it; what it says is known
  const uint64_t looks = counts.of(RequestKind::kStat);
  EXPECT_EQ(counts.of(RequestKind::kGet), 0U);
  lock.confirm(context);
  lock.confirm(context);
  EXPECT_EQ(counts.of(RequestKind::kStat), looks);
  clock.later = kLockSighting + std::chrono::milliseconds(1);
  lock.confirm(context);
  lock.confirm(context);
  EXPECT_EQ(counts.of(RequestKind::kStat), looks + 1);
  EXPECT_EQ(remove_locks(context, made.repository(), true), 1U);
  clock.later = 3 * kLockSighting;
  EXPECT_THROW(lock.confirm(context), Error);
}

TEST(RepositoryLock, WhoDeletesAsksARemoteRepositoryEachTime) {
  RequestCounts counts;
  SmallRepository made(2,
                       std::make_unique<CountingStorage>(std::make_unique<FarStorage>(), counts));
  const RepositoryLock lock(made.context(), made.repository(), LockMode::kExclusive);
  lock.confirm(made.context());
  EXPECT_EQ(remove_locks(made.context(), made.repository(), true), 1U);
  EXPECT_THROW(lock.confirm(made.context()), Error);
}

TEST(RepositoryLock, StaleLocksStillBlockButAreExplained) {
  SmallRepository made;
  LockDocument old;
  old.exclusive = true;
  old.time = LocalZone().stamp(std::chrono::system_clock::now() - std::chrono::minutes(31));
  old.hostname = "elsewhere";
  made.repository().save_document(made.context(), ObjectKind::kLock, as_bytes(encode_lock(old)));
  try {
    const RepositoryLock lock(made.context(), made.repository(), LockMode::kShared);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.hint().find("salvor unlock"), std::string::npos);
  }
  EXPECT_EQ(remove_locks(made.context(), made.repository(), false), 1U);
  const RepositoryLock lock(made.context(), made.repository(), LockMode::kShared);
}

TEST(RepositoryLock, WaitsOnlyWhereListingsMayBeLate) {
  const test::TempDirectory directory(test::TempPlace::kMemory);
  SmallRepository local(2, open_local_storage((directory.path() / "repository").string()));
  if (!local.storage().traits().lists_at_once) {
    GTEST_SKIP() << directory.path() << " is on a file system that may be shared";
  }
  SmallRepository other;
  for (SmallRepository* made : {&local, &other}) {
    const auto start = std::chrono::steady_clock::now();
    const RepositoryLock lock(made->context(), made->repository(), LockMode::kExclusive);
    lock.confirm(made->context());
    const auto took = std::chrono::steady_clock::now() - start;
    EXPECT_EQ(took < kLockRecheck, made == &local);
  }
}

// Threads race for the lock, none waiting between writing it and looking again: two may both give
// up, never both go on.
TEST(RepositoryLock, NoTwoHoldItWhereListingsAreAtOnce) {
  const test::TempDirectory directory(test::TempPlace::kMemory);
  SmallRepository made(2, open_local_storage((directory.path() / "repository").string()));
  if (!made.storage().traits().lists_at_once) {
    GTEST_SKIP() << directory.path() << " is on a file system that may be shared";
  }
  std::atomic<int> exclusive = 0;
  std::atomic<int> shared = 0;
  std::atomic<int> acquired = 0;
  std::atomic<bool> broken = false;
  const auto compete = [&](bool wants_exclusive) {
    test::TestContext own;
    for (int round = 0; round < 300; ++round) {
      try {
        const RepositoryLock lock(*own, made.repository(),
                                  wants_exclusive ? LockMode::kExclusive : LockMode::kShared);
        lock.confirm(*own);
        std::atomic<int>& mine = wants_exclusive ? exclusive : shared;
        ++mine;
        ++acquired;
        broken = broken || exclusive > 1 || (exclusive > 0 && shared > 0);
        std::this_thread::yield();
        broken = broken || exclusive > 1 || (exclusive > 0 && shared > 0);
        --mine;
      } catch (const Error& error) {
        ASSERT_EQ(error.code(), ErrorCode::kLocked) << error.what();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (const bool wants_exclusive : {true, true, false, false}) {
      threads.emplace_back(compete, wants_exclusive);
    }
  }
  EXPECT_FALSE(broken);
  EXPECT_GT(acquired, 0);
}

}  // namespace
}  // namespace salvor
