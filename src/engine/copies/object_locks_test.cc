// What the storage will not let go yet: prune decides around it, and retention is made longer for
// what snapshots need, never shorter.
#include "engine/copies/object_locks.h"

#include <gtest/gtest.h>

#include "engine/maintenance/prune_plan.h"
#include "storage/decorators/forwarding_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor::test {
namespace {

PackUse pack(uint64_t used, uint64_t unused, bool locked) {
  static uint8_t number = 0;
  Digest id{};
  id[0] = static_cast<std::byte>(++number);
  return {.id = PackId(id),
          .present = true,
          .real_size = used + unused,
          .used_bytes = used,
          .unused_bytes = unused,
          .used_blobs = used > 0 ? 1U : 0U,
          .unused_blobs = unused > 0 ? 1U : 0U,
          .has_data = true,
          .locked = locked};
}

constexpr uint64_t kBig = 100'000'000;

TEST(PruneLocked, PacksStayWhereTheyAre) {
  PackUse waiting = pack(0, kBig, true);
  waiting.marked = waiting.mark_is_old = true;
  const std::vector<PackUse> packs{pack(0, kBig, true), pack(0, kBig, false),
                                   pack(kBig / 2, kBig / 2, true), pack(kBig / 2, kBig / 2, false),
                                   waiting};
  PruneStatistics statistics;
  statistics.bytes.used = kBig;
  statistics.bytes.unused = 4 * kBig;
  const PrunePlan plan = decide_prune(packs, {}, {}, statistics);
  EXPECT_EQ(plan.fates[0], PackFate::kKeep);
  EXPECT_EQ(plan.fates[1], PackFate::kRemove);
  EXPECT_EQ(plan.fates[2], PackFate::kKeep);
  EXPECT_EQ(plan.fates[3], PackFate::kRepack);
  EXPECT_EQ(plan.fates[4], PackFate::kWait);
  EXPECT_EQ(plan.statistics.packs.locked, 2U);
  EXPECT_EQ(plan.statistics.bytes.locked, 2 * kBig + kBig / 2);
}

// What is locked cannot be had back by repacking something else.
TEST(PruneLocked, DoesNotMakeOtherPacksBeRepacked) {
  const std::vector<PackUse> packs{pack(0, 10 * kBig, true), pack(kBig - 100, 100, false)};
  PruneStatistics statistics;
  statistics.bytes.used = kBig;
  statistics.bytes.unused = 10 * kBig + 100;
  const PrunePlan plan = decide_prune(packs, {}, {}, statistics);
  EXPECT_EQ(plan.fates[1], PackFate::kKeep);
}

TEST(Retentions, HoldUntilTheirTime) {
  const WallTime now{std::chrono::days(1000)};
  EXPECT_FALSE(Retention{}.holds(now));
  EXPECT_TRUE(Retention{.until = now + std::chrono::seconds(1)}.holds(now));
  EXPECT_FALSE(Retention{.until = now}.holds(now));
  EXPECT_TRUE(Retention{.legal_hold = true}.holds(now));
}

// Protects what it is told, and fails with some.
class LockingStorage final : public ForwardingStorage {
 public:
  using ForwardingStorage::ForwardingStorage;
  std::optional<Retention> retention(const Context&, const ObjectName& object) override {
    const auto found = until.find(object);
    return found == until.end() ? std::nullopt : std::optional(Retention{.until = found->second});
  }
  void extend_retention(const Context&, const ObjectName& object, WallTime time) override {
    if (const auto failure = failures.find(object); failure != failures.end()) {
      throw Error(failure->second, "cannot extend " + object.display());
    }
    if (all_fail) {
      throw Error(*all_fail, "cannot extend anything");
    }
    until[object] = time;
  }
  std::map<ObjectName, WallTime> until;
  std::map<ObjectName, ErrorCode> failures;
  std::optional<ErrorCode> all_fail;
};

class Extending : public testing::Test {
 protected:
  Extending() {
    for (int run = 0; run < 3; ++run) {
      small_.backup({{"file", some_content(static_cast<uint64_t>(run), 3000)}});
    }
  }
  LockReport extend() {
    small_.repository().load_index(small_.context());
    const WallTime until = small_.context().clock.now() + std::chrono::days(30);
    return survey_locks(small_.context(), small_.repository(), {.until = until});
  }
  std::vector<std::string> failures() {
    std::vector<std::string> items;
    for (const Event& event : small_.test_context().events.events()) {
      if (const auto* failed = std::get_if<ItemFailed>(&event)) {
        items.push_back(failed->item);
      }
    }
    return items;
  }

  LockingStorage* storage_ = new LockingStorage(make_memory_storage());
  SmallRepository small_{2, std::unique_ptr<Storage>(storage_)};
};

TEST_F(Extending, WhatFailsWithOneObjectDoesNotKeepTheOthersFromIt) {
  const ObjectName missing{ObjectKind::kPack, small_.list(ObjectKind::kPack).front().name};
  const ObjectName refused{ObjectKind::kIndex, small_.list(ObjectKind::kIndex).front().name};
  storage_->failures = {{missing, ErrorCode::kNotFound}, {refused, ErrorCode::kPermission}};
  const LockReport report = extend();
  EXPECT_EQ(report.failed, 2U);
  EXPECT_EQ(report.extended(), report.objects() - 2);
  EXPECT_EQ(report.held(), report.objects() - 2);
  EXPECT_EQ(report.first_end(), std::nullopt) << "not all is protected";
  EXPECT_EQ(storage_->until.size(), report.extended());
  std::vector<std::string> expected{missing.display(), refused.display()};
  std::vector<std::string> said = failures();
  std::ranges::sort(expected);
  std::ranges::sort(said);
  EXPECT_EQ(said, expected);
}

// A damaged snapshot, a pack of trees that is gone: nobody knows what they needed.
TEST_F(Extending, WithDamageAllPacksCountAsNeeded) {
  const std::string unneeded = small_.list(ObjectKind::kSnapshot).front().name;
  storage_->remove(small_.context(), {ObjectKind::kSnapshot, unneeded});
  const size_t packs = small_.list(ObjectKind::kPack).size();
  const auto count = [](const LockReport& report) {
    return std::ranges::find(report.kinds, ObjectKind::kPack, &LockCount::kind)->extended;
  };
  ASSERT_LT(count(extend()), packs);
  ASSERT_TRUE(failures().empty());

  const ObjectName snapshot{ObjectKind::kSnapshot, small_.list(ObjectKind::kSnapshot).front().name};
  const Buffer before = small_.storage().get(small_.context(), snapshot);
  small_.flip_byte(snapshot, 20);
  storage_->until.clear();
  EXPECT_EQ(count(extend()), packs);
  EXPECT_EQ(failures(), std::vector<std::string>{snapshot.display()});

  storage_->remove(small_.context(), snapshot);
  small_.storage().put(small_.context(), snapshot, before.view());
  small_.repository().load_index(small_.context());
  const BlobId tree =
      small_.repository().load_snapshot(small_.context(), *SnapshotId::parse(snapshot.name)).tree;
  storage_->remove(small_.context(),
                   pack_object(small_.repository().index().find({BlobType::kTree, tree})->pack));
  storage_->until.clear();
  EXPECT_EQ(count(extend()), packs - 1);
  EXPECT_EQ(failures().back(), "tree " + tree.short_hex());
}

TEST_F(Extending, WhatIsWrongWithTheStorageEndsIt) {
  for (const ErrorCode code : {ErrorCode::kUnreachable, ErrorCode::kUsage}) {
    storage_->all_fail = code;
    EXPECT_EQ(code_of([&] { (void)extend(); }), code);
  }
  // A right that is missing shows with each; nobody needs to read that a hundred thousand times.
  storage_->all_fail = ErrorCode::kPermission;
  for (int i = 0; i < 150; ++i) {
    storage_->put(small_.context(), {ObjectKind::kSalvor, "a/" + std::to_string(i)}, as_bytes("x"));
  }
  EXPECT_EQ(code_of([&] { (void)extend(); }), ErrorCode::kPermission);
  EXPECT_LT(failures().size(), 100U);
}

}  // namespace
}  // namespace salvor::test
