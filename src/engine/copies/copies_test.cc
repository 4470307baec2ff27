#include "engine/copies/copies.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "support/temp_directory.h"

namespace salvor {
namespace {

StoredSnapshot snapshot(char id, char tree, int64_t seconds, char original = '\0') {
  StoredSnapshot stored;
  stored.id = *SnapshotId::parse(std::string(64, id));
  stored.snapshot.tree = *BlobId::parse(std::string(64, tree));
  stored.snapshot.time.seconds = seconds;
  if (original != '\0') {
    stored.snapshot.original = *SnapshotId::parse(std::string(64, original));
  }
  return stored;
}

TEST(Copies, AreMatchedByWhatTheyWereCopiedFrom) {
  const std::vector<CopyPlace> places{
      {.kind = "local", .snapshots = {snapshot('1', 'a', 10), snapshot('2', 'b', 5)}},
      {.kind = "s3",
       .snapshots = {snapshot('3', 'a', 10, '1'), snapshot('4', 'a', 10, '1'),  // twice: one place
                     snapshot('5', 'c', 20)}},
      // Rewritten: another tree, so it is not the same data.
      {.kind = "sftp", .snapshots = {snapshot('6', 'd', 10, '1'), snapshot('7', 'b', 5, '2')}}};
  const auto copies = match_copies(places);
  ASSERT_EQ(copies.size(), 4U);
  EXPECT_EQ(copies[0].snapshot.id.hex()[0], '2');  // the oldest
  EXPECT_EQ(copies[0].places, (std::vector<size_t>{0, 2}));
  EXPECT_EQ(copies[1].places.size() + copies[2].places.size(), 3U);
  EXPECT_EQ(copies[3].places, std::vector<size_t>{1});
}

TEST(Copies, TheRuleIsCountedFromTheWorstSnapshot) {
  std::vector<CopyPlace> places{
      {.kind = "local", .immutable = false, .snapshots = {snapshot('1', 'a', 10)}},
      {.kind = "s3",
       .offsite = true,
       .immutable = true,
       .snapshots = {snapshot('2', 'a', 10, '1')}}};
  CopyRule rule = count_rule(places, match_copies(places));
  EXPECT_EQ(rule.copies, 3U);
  EXPECT_EQ(rule.kinds, 2U);
  EXPECT_TRUE(rule.met());
  // A snapshot that is in one place only.
  places[0].snapshots.push_back(snapshot('3', 'b', 20));
  rule = count_rule(places, match_copies(places));
  EXPECT_EQ(rule.copies, 2U);
  EXPECT_FALSE(rule.met());
  places[0].snapshots.pop_back();
  for (auto change : {+[](CopyPlace& place) { place.errors = 1; },
                      +[](CopyPlace& place) { place.offsite = false; },
                      +[](CopyPlace& place) { place.immutable.reset(); },
                      +[](CopyPlace& place) { place.kind = "local"; },
                      +[](CopyPlace& place) { place.snapshots.clear(); }}) {
    std::vector<CopyPlace> worse = places;
    change(worse[1]);
    EXPECT_FALSE(count_rule(worse, match_copies(worse)).met());
  }
  EXPECT_FALSE(count_rule({}, {}).met());
}

TEST(Copies, ASafePlaceCountsForTheSnapshotsThatAreThere) {
  std::vector<CopyPlace> places{
      {.kind = "local", .snapshots = {snapshot('1', 'a', 10), snapshot('2', 'b', 20)}},
      {.kind = "local", .snapshots = {snapshot('3', 'a', 10, '1'), snapshot('4', 'b', 20, '2')}},
      {.kind = "s3",
       .offsite = true,
       .immutable = true,
       .snapshots = {snapshot('5', 'a', 10, '1')}}};
  CopyRule rule = count_rule(places, match_copies(places));
  EXPECT_EQ(rule.copies, 3U);
  EXPECT_EQ(rule.kinds, 1U);
  EXPECT_EQ(rule.offsite, 0U);
  EXPECT_EQ(rule.immutable, 0U);
  EXPECT_FALSE(rule.met()) << "the newest is neither off-site nor immutable";
  places[2].snapshots.push_back(snapshot('6', 'b', 20, '2'));
  rule = count_rule(places, match_copies(places));
  EXPECT_EQ(rule.copies, 4U);
  EXPECT_TRUE(rule.met());
}

TEST(Copies, PlacesAreJudgedByTheirLocation) {
  for (const char* here :
       {"/srv/x", "local:/srv/x", "dir/a:b", "tar:x", "s3:http://127.0.0.1:9000/b",
        "s3:localhost/b", "sftp:me@localhost:x", "rest:http://[::1]:8000/",
        "rest:http+unix:///run/x:/", "sftp:me@this:x", "sftp://me@this:22//x"}) {
    EXPECT_FALSE(is_offsite(here, "this")) << here;
  }
  for (const char* there : {"s3:s3.amazonaws.com/b", "s3:https://host:9000/b", "sftp:me@that:x",
                            "rest:https://u:p@that/", "gs:bucket:/x", "sftp://me@that:22//x",
                            "rest:http://[2001:db8::1]:8000/"}) {
    EXPECT_TRUE(is_offsite(there, "this")) << there;
  }
  EXPECT_EQ(place_kind("sftp:x"), "sftp");
  EXPECT_EQ(place_kind("./a:b"), "local");
}

TEST(Copies, OnePlaceIsKnownByAllItsNames) {
  const test::TempDirectory directory(test::TempPlace::kMemory);
  const std::string folder = (directory / "repository").string();
  const std::string link = (directory / "link").string();
  std::filesystem::create_directory(folder);
  std::filesystem::create_directory_symlink(folder, link);
  const std::vector<std::vector<std::string>> places{
      {folder, folder + "/", "local:" + folder, link, folder + "/../repository"},
      {"/not/there", "/not//there", "local:/not/./there"},
      {"s3:s3.amazonaws.com/b/p", "s3:https://S3.amazonaws.com:443/b//p/",
       "s3://s3.amazonaws.com/b/p"},
      {"s3:s3.amazonaws.com/b/P"},
      {"s3:http://host:9000/b", "s3:https://host:9000/b/"},
      {"rest:https://u:p@host/repo/", "rest:https://host:443/repo", "rest:http://host:80/repo"},
      {"rest:http+unix:///run/x:/repo/"},
      {"sftp:me@host:/srv/x", "sftp:you@HOST:/srv/x/", "sftp://me@host:22//srv/x"},
      {"sftp:me@host:srv/x", "sftp://me@host/srv/x"},
      {"sftp:you@host:srv/x"},
      {"gs:bucket:/a/b", "gs:bucket://a/b/", "gs:bucket:a/b"},
      {"azure:bucket:/a/b"},
      {"rclone:remote:a/b", "rclone:remote:a//b/"},
      {"rclone:remote:/a/b"}};
  std::set<std::string> keys;
  for (const auto& names : places) {
    const std::string key = place_key(names.front());
    EXPECT_TRUE(keys.insert(key).second) << names.front() << " is another place";
    for (const std::string& name : names) {
      EXPECT_EQ(place_key(name), key) << name;
    }
  }
}

}  // namespace
}  // namespace salvor
