#include "engine/restore/restore_plan.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

template <class Id>
Id numbered(uint8_t number) {
  Digest digest{};
  digest[0] = static_cast<std::byte>(number);
  digest[31] = static_cast<std::byte>(number ^ 0x5aU);
  return Id(digest);
}
BlobId blob(uint8_t number) {
  return numbered<BlobId>(number);
}
PackId pack(uint8_t number) {
  return numbered<PackId>(number);
}

// A blob stored raw.
PackedBlob raw(uint8_t number, uint32_t offset, uint32_t content) {
  return {{BlobType::kData, blob(number)}, offset, content + 32, 0};
}

constexpr FetchLimits kLimits{.gap_bytes = 100, .request_bytes = 1000};

void fill(RestoreFile& file, uint64_t size, std::vector<BlobId> content) {
  file.node.name = "f";
  file.node.size = size;
  file.node.content = std::move(content);
}

TEST(RestorePlan, MergesNeighboursWithinTheLimits) {
  Index index;
  const std::vector<PackedBlob> near{raw(1, 0, 68), raw(2, 150, 68), raw(3, 900, 68)};
  index.add_pack(pack(1), near);
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 204, {blob(3), blob(1), blob(2)});
  plan.add(file, 0);
  EXPECT_EQ(file.remaining, 3U);
  plan.finish(kLimits);
  ASSERT_EQ(plan.ranges().size(), 2U);
  EXPECT_EQ(plan.ranges()[0].begin, 0U);
  EXPECT_EQ(plan.ranges()[0].length, 250U);  // the 50 bytes between are read along
  EXPECT_EQ(plan.ranges()[1].begin, 900U);
  const auto first = plan.blobs(plan.ranges()[0]);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(plan.uses(first[0])[0].file_offset, 68U);
  EXPECT_EQ(plan.uses(first[1])[0].file_offset, 136U);
}

TEST(RestorePlan, ARequestDoesNotYieldMoreThanTheLimit) {
  Index index;
  const std::vector<PackedBlob> blobs{raw(1, 0, 68), raw(2, 100, 68), raw(3, 200, 68)};
  index.add_pack(pack(1), blobs);
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 204, {blob(1), blob(2), blob(3)});
  plan.add(file, 0);
  plan.finish({.gap_bytes = 100, .request_bytes = 1000, .content_bytes = 136});
  ASSERT_EQ(plan.ranges().size(), 2U);
  EXPECT_EQ(plan.blobs(plan.ranges()[0]).size(), 2U);
  EXPECT_EQ(plan.blobs(plan.ranges()[1]).size(), 1U);
}

TEST(StretchQueue, DealsEveryNumberOnceWhoeverIsFaster) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{100}}) {
    for (const size_t threads : {size_t{1}, size_t{2}, size_t{3}, size_t{8}}) {
      StretchQueue queue(count, threads);
      std::vector<int> dealt(count, 0);
      std::vector<size_t> active;
      for (size_t thread = 0; thread < threads; ++thread) {
        active.push_back(thread);
      }
      for (size_t turn = 0; !active.empty(); ++turn) {
        const size_t who = turn % 3 == 0 ? 0 : turn % active.size();  // some are faster
        const auto got = queue.next(active[who]);
        if (got) {
          ++dealt.at(*got);
        } else {
          active.erase(active.begin() + static_cast<ptrdiff_t>(who));
        }
      }
      EXPECT_EQ(std::count(dealt.begin(), dealt.end(), 1), static_cast<ptrdiff_t>(count));
    }
  }
}

TEST(StretchQueue, ThreadsBeginApart) {
  StretchQueue queue(100, 2);
  EXPECT_EQ(queue.next(0), 0U);
  EXPECT_EQ(queue.next(1), 50U);
  EXPECT_EQ(queue.next(0), 1U);
}

TEST(RestorePlan, ReadsABlobOnceForAllItsUses) {
  Index index;
  const std::vector<PackedBlob> blobs{raw(1, 0, 10)};
  index.add_pack(pack(1), blobs);
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 30, {blob(1), blob(1), blob(1)});
  plan.add(file, 4);
  plan.finish(kLimits);
  ASSERT_EQ(plan.ranges().size(), 1U);
  const auto blobs_of = plan.blobs(plan.ranges()[0]);
  ASSERT_EQ(blobs_of.size(), 1U);
  ASSERT_EQ(plan.uses(blobs_of[0]).size(), 3U);
  EXPECT_EQ(plan.uses(blobs_of[0])[2].file, 4U);
}

TEST(RestorePlan, LeavesOutWhatIsInPlace) {
  Index index;
  const std::vector<PackedBlob> blobs{raw(1, 0, 10), raw(2, 42, 20)};
  index.add_pack(pack(1), blobs);
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 30, {blob(1), blob(2)});
  file.matches = {true, false};
  plan.add(file, 0);
  EXPECT_EQ(file.remaining, 1U);
  plan.finish(kLimits);
  ASSERT_EQ(plan.blobs(plan.ranges()[0]).size(), 1U);
  EXPECT_EQ(plan.uses(plan.blobs(plan.ranges()[0])[0])[0].file_offset, 10U);
}

// Where one index file says a wrong length, places in the file would be wrong: the entry that makes
// the lengths add up to the file's size is taken.
TEST(RestorePlan, TakesTheEntryThatFitsTheFilesSize) {
  Index index;
  const std::vector<PackedBlob> lying{raw(1, 0, 11)};
  const std::vector<PackedBlob> honest{raw(1, 500, 10), raw(2, 600, 20)};
  index.add_pack(pack(1), lying);  // the first copy, which is taken otherwise
  index.add_pack(pack(2), honest);
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 30, {blob(1), blob(2)});
  plan.add(file, 0);
  plan.finish(kLimits);
  ASSERT_EQ(plan.ranges().size(), 1U);
  EXPECT_EQ(plan.ranges()[0].pack, pack(2));
  EXPECT_EQ(plan.uses(plan.blobs(plan.ranges()[0])[1])[0].file_offset, 10U);
}

TEST(RestorePlan, KeepsTheFirstCopyWhereNoneFits) {
  Index index;
  const std::vector<PackedBlob> first{raw(1, 0, 11)};
  const std::vector<PackedBlob> second{raw(1, 500, 12)};
  index.add_pack(pack(1), first);
  index.add_pack(pack(2), second);
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 30, {blob(1)});
  plan.add(file, 0);
  plan.finish(kLimits);
  EXPECT_EQ(plan.ranges()[0].pack, pack(1));
}

TEST(RestorePlan, NamesABlobThatIsNowhere) {
  const Index index;
  RestorePlan plan(index);
  RestoreFile file;
  fill(file, 1, {blob(9)});
  try {
    plan.add(file, 0);
    FAIL() << "must throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(error.message().find(blob(9).short_hex()), std::string::npos);
  }
}

}  // namespace
}  // namespace salvor
