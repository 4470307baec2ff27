// Which backup, which timeline, how far, what must be kept: on made-up archives, where every branch
// and hole can be had.
#include "engine/postgres/recovery_target.h"

#include <cstdlib>
#include <ctime>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::Timeline;
using postgres::TimelineHistory;
using namespace std::string_literals;

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

WalTimeline with_tail(WalTimeline timeline, uint64_t segment, uint64_t bytes) {
  timeline.tail = postgres::SegmentNumber{segment};
  timeline.tail_bytes = bytes;
  return timeline;
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

TEST(RecoveryReach, TheUnfinishedSegmentBelongsToIt) {
  std::vector<WalTimeline> wal{with_tail(timeline(1, {{{2}, {9}}}), 10, 5000)};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {1}, kSize);
  EXPECT_EQ(reach.end, at(10));
  EXPECT_EQ(reach.tail_end, at(10, 5000));
  // Pieces that are left of a segment that came whole later say nothing.
  wal = {with_tail(timeline(1, {{{2}, {9}}}), 8, 5000)};
  EXPECT_FALSE(reach_of(backup(1, 1, 3), wal, {1}, kSize).tail_end);
  // Those behind a segment that is not there say that it should be.
  wal = {with_tail(timeline(1, {{{2}, {9}}}), 11, 5000)};
  EXPECT_EQ(reach_of(backup(1, 1, 3), wal, {1}, kSize).missing,
            (std::vector<std::string>{postgres::segment_name({1}, {10}, kSize)}));
}

TEST(RecoveryReach, AfterAPromotionThePiecesOfTheNewLineAreEnough) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {5}}}),
                                     with_tail(timeline(2, {}, "1\t0/600500\tx\n"), 6, 0x600)};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {2}, kSize);
  EXPECT_EQ(reach.timeline, (Timeline{2}));
  EXPECT_EQ(reach.tail_end, at(6, 0x600));
  EXPECT_TRUE(reach.missing.empty());
}

TEST(RecoveryReach, RightAfterAPromotionItEndsBeforeTheBranch) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {5}}}),
                                     timeline(2, {}, "1\t0/600500\tx\n")};
  const BackupReach reach = reach_of(backup(1, 1, 3), wal, {2}, kSize);
  EXPECT_EQ(reach.end, at(6)) << "nobody has the begin of segment 6";
  EXPECT_TRUE(reach.missing.empty());
}

TEST(RecoveryReach, ALineThatWasLeftFurtherBehindHasAHole) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {4}}}),
                                     timeline(2, {{{8}, {9}}}, "1\t0/800500\tx\n")};
  EXPECT_EQ(reach_of(backup(1, 1, 3), wal, {1}, kSize).missing,
            (std::vector<std::string>{postgres::segment_name({1}, {5}, kSize)}));
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

TEST(RecoveryPlan, APositionInTheUnfinishedSegmentIsReached) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3)};
  const std::vector<WalTimeline> wal{with_tail(timeline(1, {{{2}, {9}}}), 10, 5000)};
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(10, 4000))), 1);
  EXPECT_THROW(chosen(backups, wal, to_lsn(at(10, 5001))), Error);
}

// "latest" would be whatever is the newest when the server looks.
TEST(RecoveryPlan, TheServerIsToldThePlannedTimeline) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  const auto told = [&](const PhysicalBackup& from, const std::vector<WalTimeline>& archived) {
    return plan_recovery({from}, archived, kSize, {}, std::nullopt).settings({}).back();
  };
  EXPECT_EQ(told(backup(1, 1, 3), wal), std::pair("recovery_target_timeline"s, "2"s));
  EXPECT_EQ(told(backup(1, 1, 8), wal).second, "1") << "the newest, but not one of its own";
  EXPECT_EQ(told(backup(1, 3, 8), {timeline(3, {{{8}, {9}}})}).second, "current")
      << "the server would ask for a history that nobody has";
}

TEST(RecoveryEnd, IsComparedWithTheLastRecordThatIsThere) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  const RecoveryPlan plan = plan_recovery({backup(1, 1, 3)}, wal, kSize, {}, std::nullopt);
  const auto early = [&](const char* history, std::optional<Lsn> last) {
    return ended_early(plan, last, TimelineHistory::parse({3}, history));
  };
  EXPECT_FALSE(early("1\t0/600500\tx\n2\t0/1500000\tx\n", at(20, 500)));
  EXPECT_FALSE(early("1\t0/600500\tx\n2\t0/1600000\tx\n", at(20, 500))) << "more has come";
  EXPECT_FALSE(early("1\t0/600500\tx\n2\t0/700000\tx\n", std::nullopt));
  const auto in_the_middle = early("1\t0/600500\tx\n2\t0/900000\tx\n", at(20, 500));
  ASSERT_TRUE(in_the_middle);
  EXPECT_NE(in_the_middle->find("0/900000"), std::string::npos) << *in_the_middle;
  EXPECT_TRUE(early("1\t0/1500000\tx\n", at(20, 500))) << "the old line was followed";
  EXPECT_TRUE(early("", at(20, 500)));
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

// Its standby was promoted at the end of segment 6; what it did and backed up behind that is lost.
TEST(RecoveryPlan, ALostPrimarysLastBackupIsNotTakenForTheNewest) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 8)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  EXPECT_EQ(chosen(backups, wal, {}), 1) << "what was committed since";
  EXPECT_EQ(chosen(backups, wal, to_time(100)), 1);
  EXPECT_EQ(chosen(backups, wal, to_lsn(at(15))), 1);
  EXPECT_EQ(chosen(backups, wal, {}, 2), 2) << "who names it gets it";
  RecoveryTarget target;
  target.timeline = Timeline{1};
  EXPECT_EQ(chosen(backups, wal, target), 2);
  EXPECT_EQ(chosen({backup(2, 1, 8)}, wal, {}), 2) << "there is no other";
}

TEST(RecoveryPlan, AHoleOnTheWayToATimelineIsInTheWayOfEveryMomentOnIt) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {4}}}),
                                     timeline(2, {{{6}, {8}}}, "1\t0/600500\tx\n")};
  RecoveryTarget target = to_time(100);
  const Error error = test::error_of([&] { chosen({backup(1, 1, 3)}, wal, target); });
  EXPECT_NE(error.message().find("on the way to timeline 2 has a hole: " +
                                 postgres::segment_name({1}, {5}, kSize)),
            std::string::npos)
      << error.message();
  target.timeline = Timeline{1};
  EXPECT_EQ(chosen({backup(1, 1, 3)}, wal, target), 1);
}

TEST(RecoveryPlan, TheBackupsOwnTimelineMayBeAskedFor) {
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 8)};
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}}),
                                     timeline(2, {{{6}, {20}}}, "1\t0/600500\tx\n")};
  RecoveryTarget target;
  EXPECT_EQ(chosen(backups, wal, target), 1);
  target.own_timeline = true;
  EXPECT_EQ(chosen(backups, wal, target), 2);
  EXPECT_EQ(chosen(backups, wal, target, 1), 1);
}

TEST(RecoveryPlan, WhatIsNoBackupIsSaidToBeNone) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  EXPECT_EQ(test::code_of([&] { chosen({backup(1, 1, 3)}, wal, {}, 7); }), ErrorCode::kUsage);
  EXPECT_EQ(test::code_of([&] { chosen({}, wal, {}); }), ErrorCode::kNotFound);
}

uint8_t oldest(const std::vector<PhysicalBackup>& backups, const std::vector<WalTimeline>& wal,
               std::optional<int64_t> since = std::nullopt) {
  const std::optional<WallTime> time = since ? std::optional(clock_time(*since)) : std::nullopt;
  return std::to_integer<uint8_t>(oldest_needed(backups, wal, time).snapshot.id.digest()[0]);
}

// Of a timeline that was begun at an earlier position: made `seconds` after the epoch.
PhysicalBackup late_backup(uint8_t id, uint32_t timeline, uint64_t segment, int64_t seconds) {
  PhysicalBackup late = backup(id, timeline, segment);
  late.facts.stop_time = clock_time(seconds);
  return late;
}

TEST(WalToKeep, IsThatOfTheNewestBackupBeforeTheWindowAndOfAllLaterOnes) {
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {9}}})};
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 5), backup(3, 1, 8)};
  EXPECT_EQ(oldest(backups, wal), 1);
  EXPECT_EQ(oldest(backups, wal, 6), 2);
  EXPECT_EQ(oldest(backups, wal, 9), 3);
  EXPECT_EQ(oldest(backups, wal, 2), 1) << "the window begins before the first";
  EXPECT_EQ(oldest({backup(1, 1, 3), backup(2, 1, 5, true), backup(3, 1, 8)}, wal, 6), 1)
      << "a damaged one is none to recover from";
}

TEST(WalToKeep, PositionsOfAnEarlierTimelineAreNotLater) {
  // Recovered to segment 5 at 100; the backups since lie in front of the last one before.
  const std::vector<WalTimeline> wal{timeline(1, {{{2}, {50}}}),
                                     timeline(2, {{{5}, {20}}}, "1\t0/500500\tx\n")};
  const std::vector<PhysicalBackup> backups{backup(1, 1, 3), backup(2, 1, 40),
                                            late_backup(3, 2, 7, 110), late_backup(4, 2, 9, 120)};
  EXPECT_EQ(oldest(backups, wal, 130), 4);
  EXPECT_EQ(oldest(backups, wal, 115), 3);
  EXPECT_EQ(oldest(backups, wal, 105), 1)
      << "what the second line was until its first backup is reached from the first one only";
  EXPECT_EQ(oldest(backups, wal), 1);
}

Tree pg_wal_of(std::initializer_list<std::pair<uint32_t, uint64_t>> segments) {
  Tree tree;
  for (const auto& [line, segment] : segments) {
    Node node;
    node.name = postgres::segment_name({line}, {segment}, kSize);
    node.size = kSize.bytes;
    tree.nodes.push_back(node);
  }
  return tree;
}

TEST(WalInside, OfAStandbyThatWasPromotedMeanwhileIsOfTwoTimelines) {
  postgres::BackupFacts facts;
  facts.timeline = {2};
  facts.start = at(4, 28);
  facts.stop = at(7);
  const WalInside inside = wal_inside(pg_wal_of({{1, 4}, {1, 5}, {2, 5}, {2, 6}}), facts);
  EXPECT_EQ(inside.missing, "");
  EXPECT_EQ(inside.segments, 3U);
  EXPECT_EQ(wal_inside(pg_wal_of({{1, 4}, {2, 6}}), facts).missing,
            postgres::segment_name({2}, {5}, kSize));
  EXPECT_EQ(wal_inside(pg_wal_of({{1, 4}, {3, 5}, {2, 6}}), facts).missing,
            postgres::segment_name({2}, {5}, kSize))
      << "a newer timeline's is not its own";
  Tree shortened = pg_wal_of({{1, 4}, {1, 5}, {2, 6}});
  shortened.nodes.front().size = 100;
  EXPECT_EQ(wal_inside(shortened, facts).missing, postgres::segment_name({2}, {4}, kSize));
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

// Of this process, for as long as it lives.
class LocalZoneOf {
 public:
  explicit LocalZoneOf(const char* zone) {
    if (const char* before = std::getenv("TZ")) {
      before_ = before;
    }
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
  ~LocalZoneOf() {
    if (before_) {
      ::setenv("TZ", before_->c_str(), 1);
    } else {
      ::unsetenv("TZ");
    }
    ::tzset();
  }
  LocalZoneOf(const LocalZoneOf&) = delete;
  LocalZoneOf& operator=(const LocalZoneOf&) = delete;

 private:
  std::optional<std::string> before_;
};

TEST(RecoveryTime, WithoutAZoneIsLocalTime) {
  const LocalZoneOf zone("EAST-2SUMMER-3,M3.5.0,M10.5.0");  // two hours before UTC, three in summer
  EXPECT_EQ(parse_target_time("2026-11-21 09:00:00.5"),
            parse_target_time("2026-11-21 07:00:00.5Z"));
  EXPECT_EQ(parse_target_time("20260721-100000"), parse_target_time("2026-07-21T07:00:00Z"));
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
