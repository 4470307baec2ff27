// Which backup, which timeline, how far: on made-up archives, where every branch and hole can be
// had.
#include "engine/postgres/recovery_target.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::Timeline;
using postgres::TimelineHistory;

constexpr postgres::SegmentSize kSize{1U << 20};

Lsn at(uint64_t segment, uint64_t offset = 0) {
  return {segment * kSize.bytes + offset};
}

WallTime clock_time(int64_t seconds) {
  return WallTime(std::chrono::seconds(1'700'000'000 + seconds));
}

// Finished at `segment` + 100 bytes, `segment` seconds after the epoch of these tests.
PhysicalBackup backup(uint8_t id, uint32_t timeline, uint64_t segment, bool damaged = false) {
  PhysicalBackup result;
  Digest digest{};
  digest[0] = std::byte{id};
  result.snapshot.id = SnapshotId(digest);
  result.facts.timeline = {timeline};
  result.facts.start = at(segment, 28);
  result.facts.stop = at(segment, 100);
  result.facts.stop_time = clock_time(static_cast<int64_t>(segment));
  result.facts.damaged = damaged;
  return result;
}

WalTimeline timeline(uint32_t id, std::vector<WalRun> runs, const std::string& history = "") {
  WalTimeline result{{id}, std::move(runs), std::nullopt, std::nullopt};
  if (!history.empty()) {
    result.history = TimelineHistory::parse({id}, history);
  }
  return result;
}

RecoveryTarget to_lsn(Lsn lsn) {
  RecoveryTarget target;
  target.kind = TargetKind::kLsn;
  target.lsn = lsn;
  return target;
}

RecoveryTarget to_time(int64_t seconds) {
  RecoveryTarget target;
  target.kind = TargetKind::kTime;
  target.time = clock_time(seconds);
  return target;
}

uint8_t chosen(const std::vector<PhysicalBackup>& backups,
               const std::vector<WalTimeline>& timelines, const RecoveryTarget& target,
               std::optional<uint8_t> named = std::nullopt) {
  std::optional<SnapshotId> id;
  if (named) {
    id = backup(*named, 1, 1).snapshot.id;
  }
  const RecoveryPlan plan = plan_recovery(backups, timelines, kSize, target, id);
  return std::to_integer<uint8_t>(plan.backup.snapshot.id.digest()[0]);
}

TEST(RecoveryReach, EndsWithTheLastSegment) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {1}, kSize);
  EXPECT_EQ(reach.end, at(10));
  EXPECT_TRUE(reach.missing.empty());
}

TEST(RecoveryReach, EndsAtTheFirstHoleAndNamesAll) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {4}}, {{6}, {6}}, {{8}, {9}}})};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {1}, kSize);
  EXPECT_EQ(reach.end, at(5));
  EXPECT_EQ(reach.missing, (std::vector<std::string>{postgres::segment_name({1}, {5}, kSize),
                                                     postgres::segment_name({1}, {7}, kSize)}));
}

TEST(RecoveryReach, HolesBeforeTheBackupDoNotMatter) {
  const std::vector<WalTimeline> wal{timeline(1, {{{1}, {2}}, {{5}, {9}}})};
  EXPECT_TRUE(reach_of(backup(1, 1, 5), wal, {1}, kSize).missing.empty());
}

TEST(RecoveryReach, FollowsABranchInTheMiddleOfASegment) {
  // The old line stopped in segment 6, of which only the new line has a whole copy.
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {5}}}),
                                     timeline(2, {{{6}, {8}}}, "1\t0/600500\tx\n")};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {2}, kSize);
  EXPECT_EQ(reach.end, at(9));
  EXPECT_EQ(reach.timeline, (Timeline{2}));
  EXPECT_TRUE(reach.missing.empty());
}

TEST(RecoveryReach, AHoleBeforeABranchIsAHole) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {4}}}),
                                     timeline(2, {{{6}, {8}}}, "1\t0/600500\tx\n")};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {2}, kSize);
  EXPECT_EQ(reach.end, at(5));
  EXPECT_EQ(reach.timeline, (Timeline{1}));
  EXPECT_EQ(reach.missing, (std::vector<std::string>{postgres::segment_name({1}, {5}, kSize)}));
}

TEST(RecoveryReach, TheFirstSegmentOfABranchMayBeMissing) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{7}, {8}}}, "1\t0/600500\tx\n")};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {2}, kSize);
  EXPECT_EQ(reach.missing, (std::vector<std::string>{postgres::segment_name({2}, {6}, kSize)}));
  EXPECT_EQ(reach.end.value, 0x600500U);
}

TEST(RecoveryReach, ABackupAfterTheBranchIsNotOnTheNewLine) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  EXPECT_EQ(newest_timeline(backup(1, 1, 3), wal), (Timeline{2}));
  EXPECT_EQ(newest_timeline(backup(2, 1, 8), wal), (Timeline{1}));
}

TEST(RecoveryPlan, TakesTheNewestBackupBeforeTheTarget) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 5), backup(3, 1, 8)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  EXPECT_EQ(chosen(backups, wal, {}), 3);
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(6))), 2);
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(5, 100))), 2) << "exactly its end";
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(5, 99))), 1) << "just before its end";
  EXPECT_EQ(chosen(backups, wal, to_time(7)), 2);
  EXPECT_EQ(chosen(backups, wal, to_time(100)), 3);
  EXPECT_THROW(chosen(backups, wal, to_time(2)), Error);
  EXPECT_THROW(chosen(backups, wal, to_lsn(at(11))), Error) << "beyond the WAL";
}

TEST(RecoveryPlan, ANamedBackupThatCannotIsRefusedWithTheOneThatCan) {
  const std::vector<PhysicalBackup> backups{backup(0x11, 1, 3), backup(0x22, 1, 8)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(9)), 0x11), 0x11);
  try {
    chosen(backups, wal, to_lsn(at(5)), 0x22);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.hint().find("11000000"), std::string::npos) << error.hint();
  }
}

TEST(RecoveryPlan, DamagedBackupsAreTakenOnlyByName) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 5, true)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  EXPECT_EQ(chosen(backups, wal, {}), 1);
  EXPECT_EQ(chosen(backups, wal, {}, 2), 2);
  EXPECT_THROW(chosen({backup(2, 1, 5, true)}, wal, {}), Error);
}

TEST(RecoveryPlan, AHoleBehindTheNewestMakesAnOlderOneNoBetter) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 5)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {6}}, {{8}, {9}}})};
  EXPECT_THROW(chosen(backups, wal, {}), Error);
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(7))), 2);
  EXPECT_THROW(chosen(backups, wal, to_lsn(at(8))), Error);
}

TEST(RecoveryPlan, ATimelineIsReachedOnlyFromBackupsOnItsWay) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 8), backup(3, 2, 9)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  RecoveryTarget target;
  EXPECT_EQ(chosen(backups, wal, target), 3);
  target.timeline = Timeline{1};
  EXPECT_EQ(chosen(backups, wal, target), 2);
  target.timeline = Timeline{2};
  EXPECT_THROW(chosen(backups, wal, target, 2), Error);
  EXPECT_EQ(chosen(backups, wal, target, 1), 1);
}

TEST(RecoveryPlan, TheBackupsOwnTimelineMayBeAskedFor) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 8)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  RecoveryTarget target;
  EXPECT_EQ(chosen(backups, wal, target), 2);
  target.own_timeline = true;
  EXPECT_EQ(chosen(backups, wal, target), 2);
  EXPECT_EQ(chosen(backups, wal, target, 1), 1);
}

TEST(RecoveryPlan, WhatIsNoBackupIsSaidToBeNone) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  EXPECT_EQ(test::code_of([&] { chosen({backup(1, 1, 3)}, wal, {}, 7); }), ErrorCode::kUsage);
  EXPECT_EQ(test::code_of([&] { chosen({}, wal, {}); }), ErrorCode::kNotFound);
}

TEST(RecoveryTime, ZonesAreHonoured) {
  const WallTime expected{std::chrono::seconds(1'795'244'400) + std::chrono::milliseconds(500)};
  for (const char* text : {"2026-11-21 07:00:00.5Z", "2026-11-21T07:00:00.5 UTC",
                           "2026-11-21 08:00:00.5+01", "2026-11-21 01:30:00.5-05:30"}) {
    EXPECT_EQ(parse_target_time(text), expected) << text;
  }
  RecoveryTarget target;
  target.kind = TargetKind::kTime;
  target.time = expected;
  EXPECT_EQ(target.display(), "2026-11-21 07:00:00.500000+00");
  for (const char* wrong :
       {"", "yesterday", "2026-11-21", "2026-11-21 07:00:00 CEST", "2026-11-21 07:00:00+1",
        "2026-11-21 07:00:00+99", "2026-11-21 07:00:00+0x", "2026-11-21 07:00:00+01:5"}) {
    EXPECT_THROW(static_cast<void>(parse_target_time(wrong)), Error) << wrong;
  }
}

TEST(RecoverySettings, TheOneThatIsSetComesAfterTheEmptyOnes) {
  for (const TargetKind kind :
       {TargetKind::kImmediate, TargetKind::kTime, TargetKind::kLsn, TargetKind::kName}) {
    RecoveryTarget target;
    target.kind = kind;
    target.text = "x";
    const auto settings = target.settings();
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(settings[i].second, "");
    }
    EXPECT_NE(settings[4].second, "");
  }
}

}  // namespace
}  // namespace salvor
