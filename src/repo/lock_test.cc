#include "repo/lock.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "storage/decorators/counting_storage.h"
#include "storage/decorators/fault_storage.h"
#include "storage/decorators/forwarding_storage.h"
#include "storage/local/local_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"
#include "support/storage_helpers.h"
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

constexpr LockPace kHurried{.refresh = std::chrono::milliseconds(5),
                            .give_up = std::chrono::milliseconds(100)};

// Until `fits`, at most ten seconds.
void wait_for(const std::function<bool()>& fits) {
  for (int i = 0; i < 10'000 && !fits(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(fits());
}

size_t warnings(SmallRepository& made, const std::string& start) {
  return std::ranges::count_if(made.test_context().events.events(), [&](const Event& event) {
    const auto* warning = std::get_if<Warning>(&event);
    return warning != nullptr && warning->message.starts_with(start);
  });
}

TEST(RepositoryLock, ARefreshedLockIsANewFileAndTheOldOneGoes) {
  for (const LockMode mode : {LockMode::kShared, LockMode::kExclusive}) {
    SmallRepository made;
    {
      const RepositoryLock lock(made.context(), made.repository(), mode, {}, kHurried);
      std::set<std::string> seen;
      wait_for([&] {
        const std::vector<ObjectInfo> present = made.list(ObjectKind::kLock);
        EXPECT_FALSE(present.empty()) << "there is no moment without a lock";
        EXPECT_LE(present.size(), 2U);
        for (const ObjectInfo& info : present) {
          seen.insert(info.name);
        }
        return seen.size() > 5;
      });
      lock.confirm(made.context());
      const std::vector<StoredLock> locks = list_locks(made.context(), made.repository());
      ASSERT_FALSE(locks.empty());
      EXPECT_EQ(locks.front().document.exclusive, mode == LockMode::kExclusive);
      EXPECT_FALSE(lock.stop_token().stop_requested());
    }
    EXPECT_EQ(made.list(ObjectKind::kLock).size(), 0U);
    EXPECT_EQ(warnings(made, "cannot "), 0U);
  }
}

TEST(RepositoryLock, AStolenLockIsNoticedWhenItIsRefreshedAndTheWorkIsStopped) {
  SmallRepository made;
  const RepositoryLock lock(made.context(), made.repository(), LockMode::kShared, {}, kHurried);
  lock.confirm(made.context());
  wait_for([&] {  // again, should it just be between two files
    remove_locks(made.context(), made.repository(), true);
    return lock.stop_token().stop_requested();
  });
  EXPECT_THROW(lock.confirm(made.context()), Error);
}

TEST(RepositoryLock, ALockThatCannotBeRefreshedForLongIsGivenUp) {
  auto storage = std::make_unique<FaultStorage>(make_memory_storage());
  FaultStorage& faults = *storage;
  SmallRepository made(2, std::move(storage));
  const RepositoryLock lock(made.context(), made.repository(), LockMode::kExclusive, {}, kHurried);
  lock.confirm(made.context());
  faults.add(
      {.call = StorageCall::kPut, .kind = ObjectKind::kLock, .nth = 2, .count = Fault::kForever});
  wait_for([&] { return lock.stop_token().stop_requested(); });
  EXPECT_GT(warnings(made, "cannot refresh the lock: "), 1U) << "it went on trying";
  faults.clear();
  EXPECT_THROW(lock.confirm(made.context()), Error);
}

TEST(RepositoryLock, AReplacedLockThatCouldNotBeRemovedIsRemovedLater) {
  for (const uint64_t failures : {uint64_t{1}, uint64_t{3}}) {
    auto storage = std::make_unique<FaultStorage>(make_memory_storage());
    FaultStorage& faults = *storage;
    SmallRepository made(2, std::move(storage));
    {
      const LockPace patient{.refresh = kHurried.refresh, .give_up = std::chrono::seconds(20)};
      const RepositoryLock lock(made.context(), made.repository(), LockMode::kShared, {}, patient);
      faults.add({.call = StorageCall::kRemove, .kind = ObjectKind::kLock, .count = failures});
      wait_for([&] { return faults.faults_hit() == failures; });
      wait_for([&] { return made.list(ObjectKind::kLock).size() == 1; });
      lock.confirm(made.context());
    }
    EXPECT_EQ(made.list(ObjectKind::kLock).size(), 0U);
    EXPECT_EQ(warnings(made, "cannot remove a lock that was refreshed: "), failures);
    EXPECT_EQ(warnings(made, "cannot refresh the lock: "), 0U);
  }
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
  [[nodiscard]] WallTime now() const override { return clock_.now() + slept.load(); }
  [[nodiscard]] MonotonicTime monotonic() const override {
    return clock_.monotonic() + later.load();
  }
  std::atomic<std::chrono::milliseconds> later{};
  std::atomic<std::chrono::milliseconds> slept{};  // the machine: only the calendar went on

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

constexpr std::chrono::hours kNight{10};

TEST(RepositoryLock, ALockThatWasRemovedWhileTheMachineSleptStopsTheWorkAtOnce) {
  SmallRepository made;
  LaterClock clock;
  const Context before = made.context();
  const Context context{before.stop, before.events, clock, before.random};
  const RepositoryLock lock(context, made.repository(), LockMode::kShared);
  lock.confirm(context);
  EXPECT_EQ(remove_locks(context, made.repository(), true), 1U);
  EXPECT_FALSE(lock.stop_token().stop_requested()) << "nobody has looked";
  clock.slept = kNight;
  wait_for([&] { return lock.stop_token().stop_requested(); });
  EXPECT_EQ(test::code_of([&] { lock.confirm(context); }), ErrorCode::kLocked);
}

TEST(RepositoryLock, ALockThatIsStillThereAfterALongSleepIsRefreshedBeforeItIsConfirmed) {
  for (const LockMode mode : {LockMode::kShared, LockMode::kExclusive}) {
    SmallRepository made;
    LaterClock clock;
    const Context before = made.context();
    const Context context{before.stop, before.events, clock, before.random};
    const RepositoryLock lock(context, made.repository(), mode);
    lock.confirm(context);
    clock.slept = kNight;
    lock.confirm(context);
    const WallTime now = clock.now();
    const std::vector<StoredLock> locks = list_locks(context, made.repository());
    EXPECT_TRUE(std::ranges::any_of(
        locks, [&](const StoredLock& found) { return !is_stale(found, now, "elsewhere"); }));
    EXPECT_FALSE(lock.stop_token().stop_requested());
  }
}

// Somebody removes the stale lock and locks for itself after its owner looked for it, before the
// new one is there.
class StolenBetween final : public ForwardingStorage {
 public:
  StolenBetween() : ForwardingStorage(make_memory_storage()) {}
  using Storage::put;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    if (object.kind == ObjectKind::kLock && steal.exchange(false)) {
      for (const ObjectInfo& info : base_->list_all(context, ObjectKind::kLock)) {
        base_->remove(context, {ObjectKind::kLock, info.name});
      }
    }
    base_->put(context, object, parts);
  }
  std::atomic<bool> steal = false;
};

TEST(RepositoryLock, AStaleLockThatIsRemovedWhileItIsRefreshedIsLost) {
  auto storage = std::make_unique<StolenBetween>();
  StolenBetween& thief = *storage;
  SmallRepository made(2, std::move(storage));
  LaterClock clock;
  const Context before = made.context();
  const Context context{before.stop, before.events, clock, before.random};
  {
    const RepositoryLock lock(context, made.repository(), LockMode::kShared);
    lock.confirm(context);
    thief.steal = true;
    clock.slept = kNight;
    EXPECT_EQ(test::code_of([&] { lock.confirm(context); }), ErrorCode::kLocked);
    EXPECT_TRUE(lock.stop_token().stop_requested());
  }
  EXPECT_EQ(made.list(ObjectKind::kLock).size(), 0U) << "the new one is in nobody's way";
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

// It may be that of a program at work, so that nothing may be deleted; to add something is safe.
TEST(RepositoryLock, ALockThatCannotBeReadKeepsOutWhoDeletes) {
  SmallRepository made;
  const ObjectName unreadable = test::named_by_hash(ObjectKind::kLock, as_bytes("not sealed"));
  made.storage().put(made.context(), unreadable, as_bytes("not sealed"));
  {
    const RepositoryLock shared(made.context(), made.repository(), LockMode::kShared);
    shared.confirm(made.context());
  }
  const auto lock = [&] {
    const RepositoryLock exclusive(made.context(), made.repository(), LockMode::kExclusive);
  };
  const Error error = test::error_of(lock);
  EXPECT_EQ(error.code(), ErrorCode::kLocked);
  EXPECT_NE(error.message().find("1 lock file(s)"), std::string::npos) << error.message();
  EXPECT_NE(error.message().find(unreadable.name), std::string::npos) << error.message();
  EXPECT_NE(error.hint().find("unlock --remove-all"), std::string::npos);
  EXPECT_EQ(remove_locks(made.context(), made.repository(), false), 0U) << "perhaps it is in use";
  EXPECT_EQ(remove_locks(made.context(), made.repository(), true), 1U);
  EXPECT_NO_THROW(lock());
}

}  // namespace
}  // namespace salvor
