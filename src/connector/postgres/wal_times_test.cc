#include "connector/postgres/wal_times.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/wal_segments.h"

namespace salvor::postgres {
namespace {

using test::SegmentMaker;

WalTimes times(const SegmentMaker& segment) {
  return wal_times(as_bytes(segment.bytes()));
}

WallTime at(int seconds) {  // since 2000
  return WallTime(std::chrono::seconds(946'684'800 + seconds));
}

TEST(WalTimes, TellsTheLastCommitAndCheckpoint) {
  SegmentMaker segment;
  EXPECT_FALSE(times(segment).latest);
  segment.commit(std::chrono::seconds(100));
  segment.record(10, 0, std::string(300, 'h'));  // a heap record
  segment.commit(std::chrono::seconds(200));
  std::string checkpoint(88, '\0');
  checkpoint.replace(64, 8, SegmentMaker::number<int64_t>(946'684'800 + 260));
  segment.record(0, 0x10, checkpoint);
  segment.record(1, 0x20, SegmentMaker::number<int64_t>(250'000'000));  // an abort
  EXPECT_EQ(times(segment).last_commit, at(200));
  EXPECT_EQ(times(segment).latest, at(260));
}

TEST(WalTimes, FollowsRecordsOverPages) {
  SegmentMaker segment;
  for (int i = 0; i < 50; ++i) {
    segment.record(10, 0, std::string(static_cast<size_t>(700 * i), 'h'));
    segment.commit(std::chrono::seconds(i));
  }
  EXPECT_GT(segment.at(), 100 * test::kWalPage);
  EXPECT_EQ(times(segment).last_commit, at(49));
}

TEST(WalTimes, EndsAtWhatIsNotWhole) {
  SegmentMaker segment;
  const Lsn first = segment.commit(std::chrono::seconds(1));
  const size_t good = segment.at();
  segment.commit(std::chrono::seconds(2));
  segment.bytes()[good + 30] ^= 1;
  segment.commit(std::chrono::seconds(3));
  EXPECT_EQ(times(segment).last_commit, at(1));
  EXPECT_EQ(times(segment).last_record, first);
  EXPECT_THROW((void)wal_times(as_bytes(std::string(test::kWalSegment, 'x'))), Error);
}

// A commit that runs over into the next segment is seen with both.
// What was received ends with a page; the record goes on with two zeros on the next one.
TEST(WalTimes, ZerosThatHaveNotComeDoNotMakeARecordWhole) {
  constexpr size_t kBegins = test::kWalPage - 56;
  SegmentMaker maker;
  maker.commit(std::chrono::seconds(1));
  const size_t filled = (maker.at() + 7) / 8 * 8;
  const Lsn before = maker.record(10, 0, std::string(kBegins - filled - 29, 'h'));
  const Lsn last = maker.record(10, 0, std::string(30, 'h') + std::string(2, '\0'));
  ASSERT_EQ(last.value % test::kWalPage, kBegins);
  std::string bytes = maker.bytes();
  EXPECT_EQ(wal_times(as_bytes(bytes)).last_record, last);
  std::fill(bytes.begin() + test::kWalPage, bytes.end(), '\0');
  EXPECT_EQ(wal_times(as_bytes(bytes)).last_record, before);
}

TEST(WalTimes, ARecordMayRunIntoTheNextSegment) {
  SegmentMaker segment(3);
  segment.commit(std::chrono::seconds(1));
  segment.fill_up_to(500);
  segment.record(10, 0, std::string(test::kWalSegment - segment.at() - 60, 'h'));
  const Lsn cut = segment.commit(std::chrono::seconds(2));
  ASSERT_FALSE(segment.rest().empty());
  const SegmentMaker next(4, 1, segment.rest());
  EXPECT_EQ(times(segment).last_commit, at(1));
  EXPECT_LT(times(segment).last_record, cut);
  const WalTimes both = wal_times(as_bytes(segment.bytes()), as_bytes(next.bytes()));
  EXPECT_EQ(both.last_commit, at(2));
  EXPECT_EQ(both.last_record, cut);
  EXPECT_FALSE(times(next).last_record) << "it begins no record";
}

TEST(WalTimes, GoesOnBehindARecordThatACrashCutOff) {
  SegmentMaker segment;
  segment.commit(std::chrono::seconds(1));
  segment.give_up(test::kWalPage);
  const Lsn last = segment.commit(std::chrono::seconds(2));
  EXPECT_EQ(times(segment).last_commit, at(2));
  EXPECT_EQ(times(segment).last_record, last);
}

TEST(WalTimes, EndsWhereItIsTold) {
  SegmentMaker segment;
  const Lsn first = segment.commit(std::chrono::seconds(1));
  const Lsn second = segment.commit(std::chrono::seconds(2));
  const WalTimes before = wal_times(as_bytes(segment.bytes()), {}, second);
  EXPECT_EQ(before.last_commit, at(1));
  EXPECT_EQ(before.last_record, first);
}

}  // namespace
}  // namespace salvor::postgres
