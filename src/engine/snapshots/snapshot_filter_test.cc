#include "engine/snapshots/snapshot_filter.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

Snapshot snapshot(std::string host, std::vector<std::string> tags, std::vector<std::string> paths,
                  int64_t seconds) {
  Snapshot result;
  result.hostname = std::move(host);
  result.tags = std::move(tags);
  result.paths = std::move(paths);
  result.time.seconds = seconds;
  return result;
}

SnapshotFilter filter(std::vector<std::string> hosts, std::vector<std::string> tags,
                      std::vector<std::string> paths) {
  return make_snapshot_filter(hosts, tags, paths);
}

SnapshotId id(char digit) {
  return *SnapshotId::parse(std::string(64, digit));
}

TEST(SnapshotFilter, MatchesAnyHostAnyTagListAllPaths) {
  const Snapshot s = snapshot("web", {"a", "b"}, {"/x", "/y"}, 5);
  EXPECT_TRUE(filter({}, {}, {}).matches(s));
  EXPECT_TRUE(filter({"db", "web"}, {}, {}).matches(s));
  EXPECT_FALSE(filter({"db"}, {}, {}).matches(s));
  EXPECT_TRUE(filter({}, {"a,b"}, {}).matches(s));
  EXPECT_FALSE(filter({}, {"a,c"}, {}).matches(s));
  EXPECT_TRUE(filter({}, {"a,c", "b"}, {}).matches(s));
  EXPECT_TRUE(filter({}, {}, {"/y", "/x"}).matches(s));
  EXPECT_FALSE(filter({}, {}, {"/x", "/z"}).matches(s));
  EXPECT_FALSE(filter({"web"}, {"a"}, {"/z"}).matches(s));
}

TEST(SnapshotFilter, EmptyHostUnsetsADefaultAndEmptyTagMeansUntagged) {
  const Snapshot tagged = snapshot("web", {"a"}, {"/x"}, 5);
  const Snapshot plain = snapshot("web", {}, {"/x"}, 5);
  EXPECT_TRUE(filter({""}, {}, {}).matches(tagged));
  EXPECT_TRUE(filter({""}, {}, {}).empty());
  EXPECT_TRUE(filter({}, {""}, {}).matches(plain));
  EXPECT_FALSE(filter({}, {""}, {}).matches(tagged));
}

TEST(SnapshotFilter, TrailingSlashOfAPathDoesNotCount) {
  EXPECT_TRUE(filter({}, {}, {"/x/"}).matches(snapshot("h", {}, {"/x"}, 1)));
  EXPECT_TRUE(filter({}, {}, {"/"}).matches(snapshot("h", {}, {"/"}, 1)));
}

TEST(SnapshotFilter, NotAfterIsInclusive) {
  SnapshotFilter f;
  f.not_after = WallTime(std::chrono::seconds(10));
  EXPECT_TRUE(f.matches(snapshot("h", {}, {}, 10)));
  EXPECT_FALSE(f.matches(snapshot("h", {}, {}, 11)));
}

TEST(SnapshotFilter, NewestMatchIsByTimeNotByOrderAndTiesAreSettledById) {
  std::vector<StoredSnapshot> all{{id('3'), snapshot("a", {}, {}, 20)},
                                  {id('1'), snapshot("a", {}, {}, 30)},
                                  {id('2'), snapshot("a", {}, {}, 30)},
                                  {id('9'), snapshot("b", {}, {}, 99)}};
  EXPECT_EQ(newest_match(all, filter({"a"}, {}, {}))->id, id('2'));
  std::swap(all[1], all[2]);
  EXPECT_EQ(newest_match(all, filter({"a"}, {}, {}))->id, id('2'));
  EXPECT_FALSE(newest_match(all, filter({"c"}, {}, {})));
}

TEST(SnapshotFilter, ArgumentIsSplitAtTheFirstColon) {
  EXPECT_EQ(split_snapshot_argument("latest:/a:b").id, "latest");
  EXPECT_EQ(split_snapshot_argument("latest:/a:b").subfolder, "/a:b");
  EXPECT_EQ(split_snapshot_argument("12ab").subfolder, "");
}

using test::code_of;

class SnapshotSelectionTest : public ::testing::Test {
 protected:
  test::SmallRepository small;
  SnapshotId old_id = small.backup({{"a", "1"}}, 1000);
  SnapshotId new_id = small.backup({{"d/e/f", "2"}}, 2000);

  SnapshotSelection select(std::vector<std::string> ids, const SnapshotFilter& f = {}) {
    return select_snapshots(small.context(), small.repository(), ids, f);
  }
};

TEST_F(SnapshotSelectionTest, FindsByPrefixFullIdAndLatest) {
  const auto find = [&](const std::string& text) {
    return find_snapshot(small.context(), small.repository(), text, {}).id;
  };
  EXPECT_EQ(find(old_id.hex()), old_id);
  EXPECT_EQ(find(new_id.short_hex()), new_id);
  EXPECT_EQ(find("latest"), new_id);
}

TEST_F(SnapshotSelectionTest, LatestThatMatchesNothingIsNotFound) {
  EXPECT_EQ(code_of([&] {
              (void)find_snapshot(small.context(), small.repository(), "latest",
                                  filter({"other"}, {}, {}));
            }),
            ErrorCode::kNotFound);
}

TEST_F(SnapshotSelectionTest, UnknownAndAmbiguousPrefixesAreToldApart) {
  const auto find = [&](const std::string& text) {
    (void)find_snapshot(small.context(), small.repository(), text, {});
  };
  EXPECT_EQ(code_of([&] { find(""); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { find("zz"); }), ErrorCode::kNotFound);
  // 17 snapshots: two ids begin with the same of 16 digits.
  for (int i = 0; i < 15; ++i) {
    small.backup({{"a", "1"}}, 3000 + i);
  }
  bool ambiguous = false;
  for (const char digit : std::string("0123456789abcdef")) {
    try {
      find(std::string(1, digit));
    } catch (const Error& error) {
      ambiguous = ambiguous || error.code() == ErrorCode::kUsage;
    }
  }
  EXPECT_TRUE(ambiguous);
}

TEST_F(SnapshotSelectionTest, WithoutIdsAllThatMatchOldestFirst) {
  const SnapshotSelection all = select({});
  ASSERT_EQ(all.snapshots.size(), 2U);
  EXPECT_EQ(all.snapshots[0].id, old_id);
  EXPECT_EQ(all.snapshots[1].id, new_id);
  EXPECT_TRUE(select({}, filter({"other"}, {}, {})).snapshots.empty());
}

TEST_F(SnapshotSelectionTest, NamedTwiceComesOnceAndUnknownNamesAreReported) {
  const SnapshotSelection chosen =
      select({new_id.hex(), "latest", "zz", old_id.short_hex(), "latest:d"});
  ASSERT_EQ(chosen.snapshots.size(), 2U);
  EXPECT_EQ(chosen.snapshots[0].id, new_id);
  EXPECT_EQ(chosen.snapshots[1].id, old_id);
  ASSERT_EQ(chosen.ignored.size(), 2U);
  EXPECT_EQ(chosen.ignored[0].argument, "zz");
  EXPECT_EQ(chosen.ignored[1].argument, "latest:d");
}

TEST_F(SnapshotSelectionTest, AFilterThatDoesNotCountIsTold) {
  EXPECT_TRUE(select({old_id.hex()}, filter({"host"}, {}, {})).filter_ignored);
  EXPECT_FALSE(select({"latest"}, filter({"host"}, {}, {})).filter_ignored);
  EXPECT_FALSE(select({old_id.hex()}).filter_ignored);
}

TEST_F(SnapshotSelectionTest, ADamagedSnapshotDoesNotHideTheOthers) {
  small.flip_byte(snapshot_object(old_id), 40);
  std::vector<UnreadableObject> unreadable;
  const SnapshotSelection chosen =
      select_snapshots(small.context(), small.repository(), {}, {}, &unreadable);
  ASSERT_EQ(chosen.snapshots.size(), 1U);
  EXPECT_EQ(chosen.snapshots[0].id, new_id);
  ASSERT_EQ(unreadable.size(), 1U);
  EXPECT_EQ(unreadable[0].object.name, old_id.hex());
}

TEST_F(SnapshotSelectionTest, ADamagedSnapshotCanBeNamedButNotTakenForTheLatest) {
  small.flip_byte(snapshot_object(old_id), 40);
  std::vector<UnreadableObject> unreadable;
  const std::vector<std::string> names{old_id.hex(), new_id.hex(), old_id.hex().substr(0, 20)};
  const SnapshotSelection chosen =
      select_snapshots(small.context(), small.repository(), names, {}, &unreadable);
  ASSERT_EQ(chosen.snapshots.size(), 1U);
  EXPECT_EQ(chosen.snapshots[0].id, new_id);
  ASSERT_EQ(unreadable.size(), 1U) << "named twice, it comes once";
  EXPECT_EQ(unreadable[0].object, snapshot_object(old_id));
  EXPECT_TRUE(chosen.ignored.empty());
  EXPECT_EQ(code_of([&] { (void)select(names); }), ErrorCode::kDamaged);
  const std::vector<std::string> latest{"latest"};
  EXPECT_EQ(code_of([&] {
              (void)select_snapshots(small.context(), small.repository(), latest, {}, &unreadable);
            }),
            ErrorCode::kDamaged);
  // Who restores at night is told what works all the same.
  const Error error = test::error_of([&] {
    (void)find_snapshot(small.context(), small.repository(), "latest", SnapshotFilter{});
  });
  EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  EXPECT_NE(error.message().find(old_id.short_hex()), std::string::npos) << error.message();
  EXPECT_NE(error.hint().find("Name a snapshot by its id"), std::string::npos) << error.hint();
}

TEST_F(SnapshotSelectionTest, SubfolderIsFoundHoweverItIsWritten) {
  small.repository().load_index(small.context());
  BlobReader reader(small.repository());
  const BlobId root = small.repository().load_snapshot(small.context(), new_id).tree;
  const auto find = [&](std::string_view path) {
    return find_subfolder(small.context(), reader, root, path);
  };
  EXPECT_EQ(find(""), root);
  EXPECT_EQ(find("/"), root);
  EXPECT_EQ(find("d/e"), find("/d//./e/"));
  EXPECT_NE(find("d"), root);
  EXPECT_EQ(code_of([&] { (void)find("d/x"); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { (void)find("d/e/f"); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { (void)find("d/.."); }), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace salvor
