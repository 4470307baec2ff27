#include "engine/snapshots/snapshot_layout.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor {
namespace {

StoredSnapshot snapshot_at(int64_t seconds, std::string host, std::vector<std::string> tags = {}) {
  StoredSnapshot stored;
  Digest digest{};
  digest[0] = static_cast<std::byte>(seconds);
  stored.id = SnapshotId(digest);
  stored.snapshot.time = {seconds, 0, 0};
  stored.snapshot.tree = BlobId(digest);
  stored.snapshot.hostname = std::move(host);
  stored.snapshot.username = "me";
  stored.snapshot.tags = std::move(tags);
  return stored;
}

// Every path, links as "name -> target", snapshots with a trailing '*'.
void flatten(const LayoutEntry& entry, const std::string& path, std::vector<std::string>& out) {
  for (const auto& [name, child] : entry.children) {
    std::string line = path + name;
    line += child.tree ? "*" : "";
    line += child.link.empty() ? "" : " -> " + child.link;
    out.push_back(line);
    flatten(child, path + name + "/", out);
  }
}

std::vector<std::string> laid_out(std::vector<std::string> templates, std::string time,
                                  const std::vector<StoredSnapshot>& snapshots) {
  const SnapshotLayoutOptions options{std::move(templates), std::move(time)};
  check_layout(options);
  std::vector<std::string> lines;
  flatten(lay_out(options, snapshots), "", lines);
  return lines;
}

using Lines = std::vector<std::string>;

TEST(SnapshotLayout, EmptyRepositoriesHaveTheirDirectories) {
  EXPECT_EQ(laid_out({"ids/%i", "hosts/%h/%T", "a/b/%T"}, "2006", {}),
            (Lines{"a", "a/b", "hosts", "ids"}));
}

TEST(SnapshotLayout, LatestIsTheNewestAndEqualTimesAreTold) {
  const std::vector<StoredSnapshot> two = {snapshot_at(1, "h"), snapshot_at(2, "h")};
  EXPECT_EQ(laid_out({"%T"}, "2006", two), (Lines{"1970*", "1970-1*", "latest -> 1970-1"}));
  EXPECT_EQ(laid_out({"%T"}, "%Y%%%S", two), (Lines{"1970%01*", "1970%02*", "latest -> 1970%02"}));
}

TEST(SnapshotLayout, LatestStandsAboveTheDirectoriesOfATime) {
  const std::vector<StoredSnapshot> two = {snapshot_at(1, "h"), snapshot_at(2, "h")};
  EXPECT_EQ(laid_out({"%h/%T"}, "2006/01/05", two),
            (Lines{"h", "h/1970", "h/1970/01", "h/1970/01/01*", "h/1970/01/02*",
                   "h/latest -> 1970/01/02"}));
}

TEST(SnapshotLayout, EachTagGetsAPathAndNoTagNone) {
  EXPECT_EQ(laid_out({"t/%t/%T"}, "2006", {snapshot_at(1, "h", {"b", "a"}), snapshot_at(2, "h")}),
            (Lines{"t", "t/a", "t/a/1970*", "t/a/latest -> 1970", "t/b", "t/b/1970*",
                   "t/b/latest -> 1970"}));
}

TEST(SnapshotLayout, HostileTextsStayInTheirPlace) {
  const std::vector<StoredSnapshot> hostile = {snapshot_at(1, "../../etc", {"..", ".", "", "a/b"})};
  EXPECT_EQ(laid_out({"%h/x"}, "2006", hostile), (Lines{".._.._etc", ".._.._etc/x*"}));
  EXPECT_EQ(laid_out({"%t"}, "2006", hostile), (Lines{"_*", "_-1*", "__*", "a_b*"}));
}

TEST(SnapshotLayout, ASnapshotIsNoDirectoryOfAnother) {
  const std::vector<StoredSnapshot> one = {snapshot_at(1, "h")};
  EXPECT_EQ(laid_out({"x", "x/%h"}, "2006", one), (Lines{"x", "x/h*", "x-1*"}));
  EXPECT_EQ(laid_out({"latest", "%T"}, "2006", one), (Lines{"1970*", "latest*"}));
}

TEST(SnapshotLayout, TemplatesThatNameNothingAreRefused) {
  for (const char* bad : {"", "/", "//"}) {
    EXPECT_THROW(check_layout({{bad}, "2006"}), Error) << bad;
  }
  for (const char* bad : {"", "/2006", "2006/"}) {
    EXPECT_THROW(check_layout({{"%T"}, bad}), Error) << bad;
  }
}

}  // namespace
}  // namespace salvor
