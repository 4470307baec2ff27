#include "engine/postgres/wal_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/postgres/wal_archive.h"
#include "support/small_repository.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

using test::SegmentMaker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

class WalCopyTest : public testing::Test {
 protected:
  static std::string name(uint64_t segment) {
    return postgres::segment_name({1}, {segment}, kSize);
  }
  void push(uint64_t segment) {
    from_.push(source_.context(), name(segment), as_bytes(SegmentMaker(segment).bytes()));
  }
  void push_piece(uint64_t segment, size_t bytes) {
    JournalScratch scratch;
    const SegmentMaker maker(segment);
    static_cast<void>(from_.push_tail(source_.context(), name(segment), 0,
                                      as_bytes(std::string_view(maker.bytes()).substr(0, bytes)),
                                      scratch));
  }
  // The target has a backup that begins in this segment.
  void copied_backup(uint64_t segment) {
    Snapshot snapshot = target_.repository().load_snapshot(target_.context(),
                                                           target_.backup({{"PG_VERSION", "15"}}));
    snapshot.tags = postgres::to_tags({.system_identifier = test::kWalSystem,
                                       .version = "15.4",
                                       .timeline = {1},
                                       .start = {segment * test::kWalSegment + 40},
                                       .stop = {segment * test::kWalSegment + 100}});
    target_.save(snapshot);
  }
  size_t copy() {
    return copy_wal(source_.context(), source_.repository(), target_.repository(), {}).objects;
  }
  [[nodiscard]] std::vector<std::string> copied(const WalArchive& archive) {
    std::vector<std::string> positions;
    for (const JournalEntry& entry : archive.journal().list(target_.context())) {
      positions.push_back(entry.position);
    }
    return positions;
  }

  test::SmallRepository source_;
  test::SmallRepository target_;
  WalArchive from_{source_.repository(), test::kWalSystem, kSize};
  WalArchive to_{target_.repository(), test::kWalSystem, kSize};
};

TEST_F(WalCopyTest, BringsWhatTheCopiedBackupsNeedAndEachPieceUntilItsSegmentIsWhole) {
  for (const uint64_t segment : {3, 4, 5}) {
    push(segment);
  }
  push_piece(6, 5000);
  from_.push(source_.context(), "00000002.history", as_bytes("1\t0/400500\tx\n"));
  EXPECT_EQ(copy(), 0U) << "the target has no backup";
  copied_backup(4);
  EXPECT_EQ(copy(), 4U);
  EXPECT_THAT(copied(to_),
              ElementsAre(name(4), name(5), HasSubstr(name(6) + ".tail-"), "00000002.history"));
  EXPECT_EQ(as_text(to_.fetch(target_.context(), name(5))->view()), SegmentMaker(5).bytes());
  EXPECT_EQ(copy(), 0U);
  push(6);
  EXPECT_EQ(copy(), 1U);
  EXPECT_THAT(copied(to_), ElementsAre(name(4), name(5), name(6), "00000002.history"));
}

TEST_F(WalCopyTest, LeavesOutClustersOfWhichTheTargetHasNoBackup) {
  constexpr uint64_t kOther = test::kWalSystem + 1;
  const WalArchive other(source_.repository(), kOther, kSize);
  other.push(source_.context(), name(5),
             as_bytes(test::made_wal({1}, {5 * test::kWalSegment}, kSize, 'o', kOther)));
  push(5);
  copied_backup(5);
  EXPECT_EQ(copy(), 1U);
  EXPECT_THAT(copied(to_), ElementsAre(name(5)));
  EXPECT_THAT(copied(WalArchive(target_.repository(), kOther, kSize)), IsEmpty());
}

}  // namespace
}  // namespace salvor
