#include "engine/snapshots/snapshot_labels.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/snapshots/retention.h"

namespace salvor {
namespace {

Timestamp at(int64_t seconds) {
  return {.seconds = seconds, .nanoseconds = 5, .utc_offset_seconds = 3600};
}

TEST(SnapshotLabels, AreTagsThatSayALabelAndAnInstant) {
  const auto tags = label_tags("pre-migration", "7d", at(1'000'000'000));
  EXPECT_EQ(tags, (std::vector<std::string>{"salvor:label=pre-migration",
                                            "salvor:keep-until=2001-09-16T01:46:40Z"}));
  EXPECT_TRUE(label_tags("", "", at(0)).empty());
  EXPECT_EQ(label_tags("", "forever", at(0)).at(0), "salvor:keep-until=forever");
  EXPECT_THROW(static_cast<void>(label_tags("a,b", "", at(0))), Error);
  EXPECT_THROW(static_cast<void>(label_tags("", "soon", at(0))), Error);
  EXPECT_THROW(static_cast<void>(label_tags("", "0d", at(0))), Error);
}

TEST(SnapshotLabels, ALabelIsTheWholeLabel) {
  Snapshot snapshot;
  snapshot.tags = {"salvor:label=pre-migration"};
  EXPECT_TRUE(has_label(snapshot, "pre-migration"));
  EXPECT_FALSE(has_label(snapshot, "pre"));
}

StoredSnapshot stored(int64_t day, std::vector<std::string> tags = {}) {
  StoredSnapshot one;
  one.snapshot.time = at(day * 86400);
  one.snapshot.tags = std::move(tags);
  return one;
}

TEST(SnapshotLabels, APolicyKeepsWhatWasPromisedAndNoLonger) {
  const auto remaining = [](int64_t today) {
    RetentionPolicy policy;
    policy.last = 1;
    const auto result =
        apply_retention({stored(1, label_tags("a", "7d", at(86400))), stored(2), stored(3)}, policy,
                        WallTime(std::chrono::hours(24 * today)));
    return result.keep.size();
  };
  EXPECT_EQ(remaining(7), 2U);
  EXPECT_EQ(remaining(9), 1U);
}

TEST(SnapshotLabels, ADateThatCannotBeReadKeeps) {
  EXPECT_TRUE(kept_by_tag(stored(1, {"salvor:keep-until=x"}).snapshot,
                          WallTime(std::chrono::hours(1000000))));
  EXPECT_TRUE(kept_by_tag(stored(1, {"salvor:keep-until=forever"}).snapshot,
                          WallTime(std::chrono::hours(1000000))));
  EXPECT_FALSE(kept_by_tag(stored(1, {"keep-until=forever"}).snapshot, WallTime{}));
}

}  // namespace
}  // namespace salvor
