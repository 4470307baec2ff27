#include "engine/postgres/wal_verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/decorators/fault_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

TEST(WalVerify, WhatIsDamagedIsFoundByReading) {
  test::SmallRepository small;
  const Context context = small.context();
  const WalArchive archive(small.repository(), test::kWalSystem, kSize);
  const auto name = [](uint64_t segment) { return postgres::segment_name({1}, {segment}, kSize); };
  for (const uint64_t segment : {3, 4, 5}) {
    archive.push(context, name(segment), as_bytes(test::SegmentMaker(segment).bytes()));
  }
  JournalScratch scratch;
  const test::SegmentMaker next(6);
  const std::string piece = archive.push_tail(
      context, name(6), 0, as_bytes(std::string_view(next.bytes()).substr(0, 5000)), scratch);
  EXPECT_TRUE(verify_wal(context, archive, {}, true).good());
  for (const ObjectInfo& info : small.list(ObjectKind::kSalvor)) {
    if (info.name.ends_with(name(4)) || info.name.ends_with(piece)) {
      small.flip_byte({ObjectKind::kSalvor, info.name}, info.size_bytes / 2);
    }
  }
  const WalReport unread = verify_wal(context, archive, {}, false);
  EXPECT_TRUE(unread.good());
  EXPECT_EQ(unread.segments, 3U);
  const WalReport report = verify_wal(context, archive, {}, true);
  EXPECT_FALSE(report.good());
  EXPECT_THAT(report.damaged, ElementsAre(HasSubstr(name(4)), HasSubstr(piece)));
}

TEST(WalVerify, AStorageThatIsAwayIsNoDamage) {
  auto way = std::make_unique<FaultStorage>(make_memory_storage());
  FaultStorage& faults = *way;
  test::SmallRepository small(2, std::move(way));
  const WalArchive archive(small.repository(), test::kWalSystem, kSize);
  archive.push(small.context(), postgres::segment_name({1}, {3}, kSize),
               as_bytes(test::SegmentMaker(3).bytes()));
  faults.add({.call = StorageCall::kGet, .kind = ObjectKind::kSalvor});
  EXPECT_EQ(test::code_of([&] { (void)verify_wal(small.context(), archive, {}, true); }),
            ErrorCode::kUnreachable);
}

}  // namespace
}  // namespace salvor
