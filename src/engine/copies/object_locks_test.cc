// What the storage will not let go yet: prune decides around it, and retention is made longer for
// what snapshots need, never shorter.
#include "engine/copies/object_locks.h"

#include <gtest/gtest.h>

#include "engine/maintenance/prune_plan.h"

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

}  // namespace
}  // namespace salvor::test
