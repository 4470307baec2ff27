// "There is no such file" ends a recovery: when the archive may say so.
#include "engine/postgres/wal_archive.h"

#include <fstream>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

using postgres::segment_name;
using test::SegmentMaker;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

class WalArchiveTest : public testing::Test {
 protected:
  void push(uint64_t segment, uint32_t timeline = 1) {
    archive_.push(small_.context(), segment_name({timeline}, {segment}, kSize),
                  as_bytes(SegmentMaker(segment, timeline).bytes()));
  }
  void push_history(uint32_t timeline, const std::string& text) {
    archive_.push(small_.context(), postgres::history_name({timeline}), as_bytes(text));
  }
  void push_tail(uint64_t segment, size_t begin, size_t end, uint32_t timeline = 1) {
    JournalScratch scratch;
    const SegmentMaker maker(segment, timeline);
    static_cast<void>(archive_.push_tail(
        small_.context(), segment_name({timeline}, {segment}, kSize), begin,
        as_bytes(std::string_view(maker.bytes()).substr(begin, end - begin)), scratch));
  }
  void lose(const std::string& name) {
    archive_.journal().remove(small_.context(), std::vector<std::string>{name});
  }
  // What a server that recovers is told: "there", "no such file" or "hole".
  std::string told(const std::string& name, const std::string& local = "") {
    try {
      return archive_.fetch_for_recovery(small_.context(), name, local,
                                         std::chrono::milliseconds(1))
                 ? "there"
                 : "no such file";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged) << error.message();
      return "hole";
    }
  }
  std::string told(uint64_t segment, uint32_t timeline = 1) {
    return told(segment_name({timeline}, {segment}, kSize));
  }

  test::SmallRepository small_;
  WalArchive archive_{small_.repository(), test::kWalSystem, kSize};
};

TEST_F(WalArchiveTest, BehindTheLastSegmentIsTheEnd) {
  EXPECT_EQ(told(5), "no such file");
  push(5);
  push(7);
  EXPECT_EQ(told(5), "there");
  EXPECT_EQ(told(6), "hole");
  EXPECT_EQ(told(segment_name({1}, {6}, kSize), "/dev/null"), "no such file")
      << "the server has it";
  EXPECT_EQ(told(8), "no such file");
}

// A backup of a standby, or a server that crashed, has the segment that the log ends in. Pieces of
// it that are older must not take its place.
TEST_F(WalArchiveTest, PiecesDoNotReplaceAFileThatGoesFurther) {
  const test::TempDirectory place;
  const std::string name = segment_name({1}, {6}, kSize);
  const std::string local = place / name;
  SegmentMaker maker(6);
  maker.commit(std::chrono::seconds(1));
  const size_t first = maker.at();
  maker.commit(std::chrono::seconds(2));
  const size_t second = maker.at();
  const std::string whole = maker.bytes();
  const auto write_local = [&](size_t bytes) {
    // As in a file that was used before: what lies behind is of another place.
    std::string content = whole.substr(0, bytes) + std::string(test::kWalPage - bytes, '\0');
    content += SegmentMaker(2).bytes().substr(test::kWalPage);
    std::ofstream(local, std::ios::binary) << content;
  };
  const auto push_bytes = [&](size_t begin, size_t end) {
    JournalScratch scratch;
    static_cast<void>(
        archive_.push_tail(small_.context(), name, begin,
                           as_bytes(std::string_view(whole).substr(begin, end - begin)), scratch));
  };
  push_bytes(0, first);
  EXPECT_EQ(told(name, local), "there") << "the server has none";
  write_local(first);
  EXPECT_EQ(told(name, local), "there");
  write_local(second);
  EXPECT_EQ(told(name, local), "no such file");
  push_bytes(first, second);
  EXPECT_EQ(told(name, local), "there");
  std::ofstream(local) << "no segment";
  EXPECT_EQ(told(name, local), "there");
}

TEST_F(WalArchiveTest, TakesNoSegmentOfAnotherCluster) {
  const std::string other = test::made_wal({1}, {5 * kSize.bytes}, kSize, 'x', 4712);
  EXPECT_EQ(test::code_of([&] {
              archive_.push(small_.context(), segment_name({1}, {5}, kSize), as_bytes(other));
            }),
            ErrorCode::kDamaged);
  EXPECT_TRUE(archive_.survey(small_.context()).empty());
}

TEST_F(WalArchiveTest, WhatLiesBeforeABranchMustBeThere) {
  push(4);
  push_history(2, "1\t0/800500\tx\n");
  push(8, 2);
  EXPECT_EQ(told(5), "hole");
  EXPECT_EQ(told(7), "hole");
  EXPECT_EQ(told(8), "no such file") << "the new timeline has a copy";
  EXPECT_EQ(told(7, 2), "no such file") << "the new timeline has never had it";
  EXPECT_EQ(told(9, 2), "no such file");
}

TEST_F(WalArchiveTest, ATimelineInBetweenIsKnownFromALaterHistory) {
  push(4);
  push_history(3, "1\t0/500500\tx\n2\t0/800500\tx\n");
  EXPECT_EQ(told(5, 2), "hole");
  EXPECT_EQ(told(4, 2), "no such file");
  EXPECT_EQ(told(8, 2), "no such file");
  EXPECT_EQ(told("00000002.history"), "hole") << "the server would take 1 for the newest";
}

TEST_F(WalArchiveTest, PiecesOfALostSegmentAreNotTakenForTheEnd) {
  push(4);
  push_tail(5, 0, 5000);
  EXPECT_EQ(told(5), "there") << "it is the unfinished last one";
  push(6);
  EXPECT_EQ(told(5), "hole");
}

TEST_F(WalArchiveTest, PiecesBehindAMissingSegmentShowThatItIsOne) {
  push(4);
  push_tail(6, 0, 5000);
  EXPECT_EQ(told(5), "hole");
  EXPECT_EQ(told(6), "there");
  EXPECT_EQ(told(7), "no such file");
}

TEST_F(WalArchiveTest, AHistoryOfATimelineThatHasSegmentsMustBeThere) {
  push(4);
  EXPECT_EQ(told("00000002.history"), "no such file");
  push_history(2, "1\t0/500500\tx\n");
  push(5, 2);
  EXPECT_EQ(told("00000002.history"), "there");
  lose("00000002.history");
  EXPECT_EQ(told("00000002.history"), "hole");
  EXPECT_EQ(told("00000002.history", "/dev/null"), "no such file") << "the server has it";
  EXPECT_EQ(told("00000003.history"), "no such file");
}

TEST_F(WalArchiveTest, TheSurveySaysHowFarPiecesGo) {
  push(4);
  push_tail(5, 0, 5000);
  push_tail(5, 5000, 9000);
  push_tail(5, 10000, 12000);
  const std::vector<WalTimeline> timelines = archive_.survey(small_.context());
  ASSERT_EQ(timelines.size(), 1U);
  EXPECT_EQ(timelines[0].tail, (postgres::SegmentNumber{5}));
  EXPECT_EQ(timelines[0].tail_bytes, 9000U);
  const auto tail = archive_.assemble_tail(small_.context(), segment_name({1}, {5}, kSize));
  ASSERT_TRUE(tail);
  EXPECT_EQ(as_text(tail->view().first(9000)), SegmentMaker(5).bytes().substr(0, 9000));
  EXPECT_EQ(as_text(tail->view().subspan(9000)), std::string(test::kWalSegment - 9000, '\0'));
}

TEST_F(WalArchiveTest, WhoRecoversDoesWithoutADamagedSnapshotWhoRemovesDoesNot) {
  postgres::BackupFacts facts;
  facts.system_identifier = test::kWalSystem;
  facts.version = "15.1";
  facts.timeline = {1};
  facts.start = {100};
  facts.stop = {200};
  for (const int64_t second : {10, 20}) {
    Snapshot snapshot =
        small_.repository().load_snapshot(small_.context(), small_.backup({{"a", "1"}}, second));
    facts.stop_time = WallTime(std::chrono::seconds(second));
    snapshot.tags = postgres::to_tags(facts);
    small_.save(snapshot);
  }
  EXPECT_EQ(physical_backups(small_.context(), small_.repository()).size(), 2U);
  const std::string broken = std::string(64, 'b');
  small_.storage().put(small_.context(), {ObjectKind::kSnapshot, broken}, as_bytes("broken"));
  EXPECT_EQ(test::code_of([&] {
              static_cast<void>(physical_backups(small_.context(), small_.repository()));
            }),
            ErrorCode::kDamaged);
  const auto left = physical_backups(small_.context(), small_.repository(), test::kWalSystem,
                                     DamagedSnapshots::kLeftOut);
  EXPECT_EQ(left.size(), 2U);
  EXPECT_EQ(small_.test_context().events.events().size(), 1U);
}

}  // namespace
}  // namespace salvor
