// Until when the log knows what was committed, and what a server is told to get there.
#include "engine/postgres/wal_moment.h"

#include <gtest/gtest.h>

#include "support/small_repository.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

using postgres::Lsn;
using test::SegmentMaker;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

WallTime clock_time(int64_t seconds) {  // since 2000
  return WallTime(std::chrono::seconds(946'684'800 + seconds));
}

class WalMomentTest : public testing::Test {
 protected:
  // Of segment 3, finished at second 10.
  WalMomentTest() {
    backup_.facts.timeline = {1};
    backup_.facts.start = {3 * test::kWalSegment + 40};
    backup_.facts.stop = {3 * test::kWalSegment + 100};
    backup_.facts.stop_time = clock_time(10);
  }
  void push(uint64_t segment, const SegmentMaker& maker, uint32_t timeline = 1) {
    archive_.push(small_.context(), postgres::segment_name({timeline}, {segment}, kSize),
                  as_bytes(maker.bytes()));
  }
  // A segment with one commit, at that second.
  Lsn push_commit(uint64_t segment, int64_t seconds, uint32_t timeline = 1) {
    SegmentMaker maker(segment, timeline);
    const Lsn begin = maker.commit(std::chrono::seconds(seconds));
    push(segment, maker, timeline);
    return begin;
  }
  // One in which nothing was committed, with a checkpoint at that second.
  Lsn push_idle(uint64_t segment, int64_t seconds, uint32_t timeline = 1) {
    SegmentMaker maker(segment, timeline);
    std::string checkpoint(88, '\0');
    checkpoint.replace(64, 8, SegmentMaker::number<int64_t>(946'684'800 + seconds));
    const Lsn begin = maker.record(0, 0x10, checkpoint);
    push(segment, maker, timeline);
    return begin;
  }
  [[nodiscard]] RecoveryPlan plan() {
    return plan_recovery({backup_}, archive_.survey(small_.context()), kSize, {}, std::nullopt);
  }
  [[nodiscard]] WalMoment end(std::optional<int64_t> asked = std::nullopt) {
    return end_of_wal(small_.context(), archive_, archive_.survey(small_.context()), plan().reach,
                      asked ? std::optional(clock_time(*asked)) : std::nullopt);
  }
  [[nodiscard]] RecoveryTarget target(int64_t seconds) {
    return time_target(clock_time(seconds), end(seconds), plan());
  }

  test::SmallRepository small_;
  WalArchive archive_{small_.repository(), test::kWalSystem, kSize};
  PhysicalBackup backup_;
};

TEST_F(WalMomentTest, AMomentBeforeACommitIsLeftToTheServer) {
  push_commit(3, 20);
  push_commit(4, 30);
  EXPECT_EQ(end().until, clock_time(30));
  const RecoveryTarget before = target(25);
  EXPECT_EQ(before.kind, TargetKind::kTime);
  EXPECT_EQ(before.time, clock_time(25));
}

// What is archived from now on must not come back with it.
TEST_F(WalMomentTest, AMomentBehindTheLastCommitIsTheLastRecordOfNow) {
  push_commit(3, 20);
  push_commit(4, 30);
  const Lsn last = push_idle(5, 60);
  EXPECT_EQ(end().until, clock_time(60));
  const RecoveryTarget behind = target(40);
  EXPECT_EQ(behind.kind, TargetKind::kLsn);
  EXPECT_EQ(behind.lsn, last);
  EXPECT_TRUE(behind.inclusive);
}

TEST_F(WalMomentTest, CommitsBeforeALongIdleTimeAreFound) {
  push_commit(3, 20);
  push_commit(4, 100);
  for (uint64_t segment = 5; segment < 25; ++segment) {
    push_idle(segment, static_cast<int64_t>(100 + segment));
  }
  EXPECT_EQ(target(50).kind, TargetKind::kTime) << "what was committed at 100 must not come back";
  EXPECT_EQ(target(105).kind, TargetKind::kLsn);
}

TEST_F(WalMomentTest, ACheckpointsWholeSecondHidesNoLaterCommit) {
  push_commit(3, 101);
  push_idle(4, 100);  // made after it; a checkpoint leaves out what goes beyond the second
  EXPECT_EQ(target(100).kind, TargetKind::kTime);
  EXPECT_EQ(end(100).until, clock_time(101));
}

TEST_F(WalMomentTest, CommitsBeforeAPromotionAreFound) {
  push_commit(3, 20);
  push_commit(4, 100);
  archive_.push(small_.context(), "00000002.history", as_bytes("1\t0/500000\tx\n"));
  push_idle(5, 110, 2);
  EXPECT_EQ(plan().reach.timeline, (postgres::Timeline{2}));
  EXPECT_EQ(target(50).kind, TargetKind::kTime);
  EXPECT_EQ(target(105).kind, TargetKind::kLsn);
}

TEST_F(WalMomentTest, RecordsOfTheOldTimelineBehindTheBranchDoNotCount) {
  SegmentMaker old(4);
  const Lsn kept = old.commit(std::chrono::seconds(30));
  const Lsn lost = old.commit(std::chrono::seconds(90));
  push_commit(3, 20);
  push(4, old);
  archive_.push(small_.context(), "00000002.history", as_bytes("1\t" + lost.text() + "\tx\n"));
  const WalMoment moment = end();
  EXPECT_EQ(moment.last_commit, clock_time(30));
  EXPECT_EQ(moment.last_record, kept);
}

TEST_F(WalMomentTest, ACommitThatRunsOverIntoTheUnfinishedSegmentCounts) {
  SegmentMaker first(3);
  first.commit(std::chrono::seconds(20));
  first.fill_up_to(500);
  first.record(10, 0, std::string(test::kWalSegment - first.at() - 60, 'h'));
  const Lsn cut = first.commit(std::chrono::seconds(30));
  ASSERT_FALSE(first.rest().empty());
  push(3, first);
  EXPECT_EQ(end().last_commit, clock_time(20));
  const SegmentMaker second(4, 1, first.rest());
  JournalScratch scratch;
  static_cast<void>(archive_.push_tail(
      small_.context(), postgres::segment_name({1}, {4}, kSize), 0,
      as_bytes(std::string_view(second.bytes()).substr(0, second.at())), scratch));
  EXPECT_EQ(end().last_commit, clock_time(30));
  EXPECT_EQ(end().last_record, cut);
}

// The stream goes on while a recovery to that reach is under way.
TEST_F(WalMomentTest, WhatCameSinceIsNotOfTheReach) {
  push_commit(3, 20);
  const std::string name = postgres::segment_name({1}, {4}, kSize);
  SegmentMaker maker(4);
  JournalScratch scratch;
  std::vector<std::string> tails;
  const Lsn planned = maker.commit(std::chrono::seconds(30));
  const auto push_tail = [&](size_t begin, size_t bytes) {
    tails.push_back(archive_.push_tail(
        small_.context(), name, begin,
        as_bytes(std::string_view(maker.bytes()).substr(begin, bytes)), scratch));
  };
  const size_t known = maker.at() + 10;  // the next record is cut off there
  const Lsn since = maker.commit(std::chrono::seconds(40));
  push_tail(0, known);
  const BackupReach reach = plan().reach;
  const auto last = [&] {
    return end_of_wal(small_.context(), archive_, archive_.survey(small_.context()), reach)
        .last_record;
  };
  EXPECT_EQ(last(), planned);
  push_tail(known, 5000);
  EXPECT_EQ(last(), planned);
  EXPECT_EQ(end().last_record, since) << "of a reach that knows it";
  push(4, maker);
  archive_.remove_tails(small_.context(), name, tails);
  EXPECT_EQ(last(), planned);
}

TEST_F(WalMomentTest, WithoutWalBehindItABackupIsItsOwnEnd) {
  EXPECT_EQ(end().until, clock_time(10));
  EXPECT_EQ(target(10).kind, TargetKind::kImmediate);
}

}  // namespace
}  // namespace salvor
