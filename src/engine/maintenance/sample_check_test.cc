#include "engine/maintenance/sample_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;

struct Opened {
  std::unique_ptr<Repository> repository;
  BlobId tree;
};

Opened open(SmallRepository& small, const SnapshotId& id) {
  Opened opened{small.reopen(), {}};
  opened.repository->load_index(small.context());
  opened.tree = opened.repository->load_snapshot(small.context(), id).tree;
  return opened;
}

TEST(SampleCheck, ReadsAtLeastOneBlobAndAsMuchAsWanted) {
  SmallRepository small;
  const Opened opened = open(small, small.backup({{"a/b/c/one", some_content(1, 50'000)},
                                                  {"a/two", some_content(2, 50'000)},
                                                  {"empty", ""}}));
  const SampleResult least = check_sample(small.context(), *opened.repository, opened.tree, {});
  EXPECT_TRUE(least.sound());
  EXPECT_EQ(least.blobs, 1U);
  EXPECT_GE(least.trees, 2U);
  const SampleResult tenth = check_sample(small.context(), *opened.repository, opened.tree,
                                          {.snapshot_bytes = 100'000, .share = 0.1});
  EXPECT_GE(tenth.bytes, 10'000U);
  EXPECT_LT(tenth.bytes, 20'000U);
  const SampleResult capped =
      check_sample(small.context(), *opened.repository, opened.tree,
                   {.snapshot_bytes = 100'000, .share = 1, .most_bytes = 3'000});
  EXPECT_LT(capped.bytes, 5'000U);
  const SampleResult all = check_sample(small.context(), *opened.repository, opened.tree,
                                        {.snapshot_bytes = 100'000, .share = 1});
  EXPECT_GE(all.blobs, 100U);
  EXPECT_LE(all.trees, 4U * 8U) << "the four are remembered, but for threads that meet";
}

TEST(SampleCheck, FindsDamageWhereItLooks) {
  SmallRepository small;
  const Opened opened = open(small, small.backup({{"dir/only", some_content(1, 900)}}));
  // Every byte of the data pack's blob: whatever is drawn is hit.
  small.repository().load_index(small.context());
  PackId pack;
  opened.repository->index().for_each([&](const PackId& id, const PackedBlob& blob) {
    if (blob.handle.type == BlobType::kData) {
      pack = id;
    }
  });
  small.flip_byte(pack_object(pack), 40);
  const SampleResult result = check_sample(small.context(), *opened.repository, opened.tree, {});
  EXPECT_FALSE(result.sound());
  EXPECT_THAT(result.text(), testing::HasSubstr("/dir/only"));
}

TEST(SampleCheck, ASnapshotWithoutContentIsSound) {
  SmallRepository small;
  const Opened opened = open(small, small.backup({{"empty", ""}}));
  const SampleResult result = check_sample(small.context(), *opened.repository, opened.tree, {});
  EXPECT_TRUE(result.sound());
  EXPECT_EQ(result.blobs, 0U);
}

}  // namespace
}  // namespace salvor
