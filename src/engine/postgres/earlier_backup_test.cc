#include "engine/postgres/earlier_backup.h"

#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

constexpr uint64_t kSystem = 4711;

// Made at second and position `number`.
SnapshotId back_up(test::SmallRepository& small, uint64_t number) {
  const Context context = small.context();
  Snapshot snapshot =
      small.repository().load_snapshot(context, small.backup({{"base/1", std::to_string(number)}}));
  snapshot.tags = postgres::to_tags({.system_identifier = kSystem,
                                     .version = "15.4",
                                     .timeline = {1},
                                     .start = {number << 24U},
                                     .stop = {(number << 24U) + 100},
                                     .stop_time = WallTime(std::chrono::seconds(number))});
  small.repository().load_index(context);
  return small.save(snapshot).id;
}

TEST(EarlierBackup, IsTheLastOneAndKnowsWhatIsHotFromTheFifthLastOn) {
  test::SmallRepository small;
  const Context context = small.context();
  EXPECT_FALSE(find_earlier_backup(context, small.repository(), kSystem));
  for (uint64_t number = 1; number <= 6; ++number) {
    const SnapshotId id = back_up(small, number);
    const auto earlier = find_earlier_backup(context, small.repository(), kSystem);
    ASSERT_TRUE(earlier) << number;
    EXPECT_EQ(earlier->backup.snapshot.id, id);
    EXPECT_NE(earlier->files->find("base/1"), nullptr);
    const postgres::EarlierBackup described = earlier->describe();
    EXPECT_EQ(described.name, id.short_hex());
    EXPECT_EQ(described.hot_since.value, number < 5 ? 0 : (number - 4) << 24U) << number;
  }
  EXPECT_FALSE(find_earlier_backup(context, small.repository(), kSystem + 1));
}

}  // namespace
}  // namespace salvor
