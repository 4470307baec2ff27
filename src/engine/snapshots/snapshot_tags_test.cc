#include "engine/snapshots/snapshot_tags.h"

#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using Tags = std::vector<std::string>;

Tags after(Tags tags, const TagChange& change, bool changes = true) {
  Snapshot snapshot;
  snapshot.tags = std::move(tags);
  EXPECT_EQ(apply_tags(snapshot, change), changes);
  return snapshot.tags;
}

TEST(SnapshotTags, AddsInOrderWithoutDoubles) {
  EXPECT_EQ(after({"a"}, {.set = {}, .add = {"b", "a", "b"}, .remove = {}}), (Tags{"a", "b"}));
  EXPECT_EQ(after({"a"}, {.set = {}, .add = {"a"}, .remove = {}}, false), (Tags{"a"}));
}

TEST(SnapshotTags, RemovesAndReplaces) {
  EXPECT_EQ(after({"a", "b", "a"}, {.set = {}, .add = {}, .remove = {"a"}}), (Tags{"b"}));
  EXPECT_EQ(after({"a"}, {.set = Tags{"x", "y"}, .add = {}, .remove = {}}), (Tags{"x", "y"}));
  EXPECT_EQ(after({"a"}, {.set = Tags{}, .add = {}, .remove = {}}), Tags{});
  EXPECT_EQ(after({}, {.set = Tags{}, .add = {}, .remove = {"q"}}, false), Tags{});
}

TEST(SnapshotTags, ReplacingKeepsTheDataAndTheFirstId) {
  test::SmallRepository small;
  const SnapshotId first = small.backup({{"a", "content"}});
  const RepositoryLock lock(small.context(), small.repository(), LockMode::kExclusive);
  const auto retag = [&](const SnapshotId& id, const std::string& tag) {
    const StoredSnapshot old{id, small.repository().load_snapshot(small.context(), id)};
    Snapshot changed = old.snapshot;
    changed.tags.push_back(tag);
    return replace_snapshot(small.context(), small.repository(), lock, old, changed);
  };
  const SnapshotId second = retag(first, "x");
  const SnapshotId third = retag(second, "y");
  EXPECT_EQ(small.list(ObjectKind::kSnapshot).size(), 1U);
  const Snapshot stored = small.repository().load_snapshot(small.context(), third);
  EXPECT_EQ(stored.original, first);
  EXPECT_EQ(stored.tags, (Tags{"x", "y"}));
  EXPECT_EQ(small.read(third).at("a"), "content");
}

TEST(SnapshotTags, ALostLockKeepsTheOldSnapshot) {
  test::SmallRepository small;
  const SnapshotId first = small.backup({{"a", "content"}});
  const RepositoryLock lock(small.context(), small.repository(), LockMode::kExclusive);
  for (const ObjectInfo& info : small.list(ObjectKind::kLock)) {
    small.storage().remove(small.context(), {ObjectKind::kLock, info.name});
  }
  StoredSnapshot old{first, small.repository().load_snapshot(small.context(), first)};
  Snapshot changed = old.snapshot;
  changed.tags = {"x"};
  EXPECT_THROW(replace_snapshot(small.context(), small.repository(), lock, old, changed), Error);
  EXPECT_EQ(small.read(first).at("a"), "content");
  EXPECT_EQ(small.list(ObjectKind::kSnapshot).size(), 1U) << "a new one, whose data may be gone";
}

}  // namespace
}  // namespace salvor
