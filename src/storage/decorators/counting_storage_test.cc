#include "storage/decorators/counting_storage.h"

#include <gtest/gtest.h>

#include "storage/decorators/fault_storage.h"
#include "storage/decorators/retry_storage.h"
#include "storage/location.h"
#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

TEST(Counting, EveryCallAndItsBytesCountOnce) {
  TestContext context;
  RequestCounts counts;
  CountingStorage storage(make_memory_storage(), counts);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, as_bytes("abcd"));
  storage.put(*context, pack, as_bytes("abcd"));
  (void)storage.get(*context, pack, 100);
  Buffer two(2);
  storage.get_range(*context, pack, 1, two.bytes());
  (void)storage.stat(*context, pack);
  (void)storage.list_all(*context, ObjectKind::kPack);
  const std::vector<ObjectName> both{pack, named_by_hash(ObjectKind::kPack, as_bytes("x"))};
  storage.remove_many(*context, both);
  storage.remove(*context, pack);
  EXPECT_EQ(counts.of(RequestKind::kPut), 1U);
  EXPECT_EQ(counts.of(RequestKind::kGet), 2U);
  EXPECT_EQ(counts.of(RequestKind::kStat), 1U);
  EXPECT_EQ(counts.of(RequestKind::kList), 1U);
  EXPECT_EQ(counts.of(RequestKind::kRemove), 3U);
  EXPECT_EQ(counts.bytes_sent, 4U);
  EXPECT_EQ(counts.bytes_received, 6U);
}

TEST(Counting, RepetitionsCount) {
  TestContext context;
  RequestCounts counts;
  auto faulty = std::make_unique<FaultStorage>(make_memory_storage());
  faulty->add({.call = StorageCall::kStat, .nth = 1, .count = 2});
  RetryStorage storage(std::make_unique<CountingStorage>(std::move(faulty), counts),
                       {.wait = [](const Context&, std::chrono::milliseconds) {}});
  (void)storage.stat(*context, {ObjectKind::kConfig, ""});
  EXPECT_EQ(counts.of(RequestKind::kStat), 3U);
}

TEST(Counting, OpenedStoragesCountWhereTheOptionsSay) {
  TestContext context;
  TempDirectory directory(TempPlace::kMemory);
  RequestCounts counts;
  const auto storage = open_storage(directory.path().string(), {.counts = &counts});
  (void)storage->stat(*context, {ObjectKind::kConfig, ""});
  EXPECT_EQ(counts.of(RequestKind::kStat), 1U);
  const auto space = storage->space(*context);
  ASSERT_TRUE(space.has_value());
  EXPECT_GT(space->total_bytes, 0U);
  EXPECT_LE(space->free_bytes, space->total_bytes);
  EXPECT_FALSE(open_storage((directory / "missing").string())->space(*context).has_value());
}

}  // namespace
}  // namespace salvor::test
