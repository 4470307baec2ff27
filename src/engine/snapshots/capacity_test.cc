#include "engine/snapshots/capacity.h"

#include <gtest/gtest.h>

#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

constexpr WallTime kNow{std::chrono::days(20'000)};

StoredSnapshot taken(double days_ago, std::optional<uint64_t> added) {
  StoredSnapshot stored;
  stored.snapshot.time.seconds = 20'000 * int64_t{86'400} - static_cast<int64_t>(days_ago * 86'400);
  if (added) {
    stored.snapshot.summary.emplace();
    stored.snapshot.summary->data_added_packed = *added;
    stored.snapshot.summary->data_added = *added * 3;
  }
  return stored;
}

TEST(Capacity, TheFirstBackupIsNotGrowth) {
  std::vector<StoredSnapshot> snapshots{taken(10, 1'000'000)};
  for (int day = 0; day < 10; ++day) {
    snapshots.insert(snapshots.begin(), taken(day, 500));  // order does not matter
  }
  const Growth growth = growth_of(snapshots, kNow);
  EXPECT_DOUBLE_EQ(growth.days, 10);
  EXPECT_DOUBLE_EQ(growth.bytes_per_day().value(), 500);
  EXPECT_DOUBLE_EQ(days_until_full(StorageSpace{5'000, 9'999}, growth).value(), 10);
  EXPECT_FALSE(days_until_full(std::nullopt, growth).has_value());
}

TEST(Capacity, OnlyTheLastThirtyDaysCount) {
  const std::vector<StoredSnapshot> snapshots{taken(100, 7), taken(60, 1'000'000), taken(20, 300),
                                              taken(1, 300), taken(2, std::nullopt)};
  const Growth growth = growth_of(snapshots, kNow);
  EXPECT_DOUBLE_EQ(growth.days, 30);
  EXPECT_DOUBLE_EQ(growth.bytes_per_day().value(), 20);
  EXPECT_EQ(growth.snapshots_without_size, 1U);
}

TEST(Capacity, NothingIsGuessed) {
  EXPECT_FALSE(growth_of({}, kNow).bytes_per_day().has_value());
  const std::vector<StoredSnapshot> young{taken(0.5, 10), taken(0.2, 10)};
  EXPECT_FALSE(growth_of(young, kNow).bytes_per_day().has_value());
  const std::vector<StoredSnapshot> still{taken(5, 10), taken(2, 0)};
  EXPECT_DOUBLE_EQ(growth_of(still, kNow).bytes_per_day().value(), 0);
  EXPECT_FALSE(days_until_full(StorageSpace{1, 1}, growth_of(still, kNow)).has_value());
  const std::vector<StoredSnapshot> future{taken(2, 10), taken(-50, 10)};  // a wrong clock
  EXPECT_DOUBLE_EQ(growth_of(future, kNow).bytes_per_day().value(), 5);
}

TEST(Capacity, SizesAreThoseOfWhatIsStored) {
  TestContext context;
  const auto storage = make_memory_storage();
  storage->put(*context, {ObjectKind::kConfig, ""}, as_bytes("abc"));
  storage->put(*context, named_by_hash(ObjectKind::kPack, as_bytes("p")), as_bytes("p"));
  storage->put(*context, named_by_hash(ObjectKind::kPack, as_bytes("qq")), as_bytes("qq"));
  const auto sizes = measure_size(*context, *storage);
  EXPECT_EQ(sizes[0].bytes, 3U);
  EXPECT_EQ(sizes[5].kind, ObjectKind::kPack);
  EXPECT_EQ(sizes[5].objects, 2U);
  EXPECT_EQ(sizes[5].bytes, 3U);
  EXPECT_EQ(sizes[1].objects, 0U);
}

}  // namespace
}  // namespace salvor::test
