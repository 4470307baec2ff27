#include "engine/snapshots/file_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using test::SmallRepository;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FileSearches : public ::testing::Test {
 protected:
  std::vector<std::string> find(const BlobId& root, std::vector<std::string> patterns,
                                PathPatterns::Case sensitivity = PathPatterns::Case::kSensitive,
                                std::optional<int64_t> oldest = {},
                                std::optional<int64_t> newest = {}) {
    repository_.repository().load_index(repository_.context());
    BlobReader reader(repository_.repository());
    std::vector<std::string> paths;
    FileSearch(PathPatterns(patterns, sensitivity), oldest, newest)
        .run(
            repository_.context(), reader, root,
            [&](const std::string& path, const Node&) { paths.push_back(path); },
            [&](const std::string& path, const Error&) { unreadable_.push_back(path); });
    return paths;
  }
  BlobId root(const test::Files& files) {
    return repository_.repository()
        .load_snapshot(repository_.context(), repository_.backup(files))
        .tree;
  }

  SmallRepository repository_;
  std::vector<std::string> unreadable_;
};

TEST_F(FileSearches, FindsByPatternInTheOrderOfTheTree) {
  const BlobId tree =
      root({{"etc/b.conf", "1"}, {"etc/A.CONF", "2"}, {"x/y/etc/c.conf", "3"}, {"notes", "4"}});
  EXPECT_THAT(find(tree, {"*.conf"}), ElementsAre("/etc/b.conf", "/x/y/etc/c.conf"));
  EXPECT_THAT(find(tree, {"/etc/*.conf"}), ElementsAre("/etc/b.conf"));
  EXPECT_THAT(find(tree, {"*.conf"}, PathPatterns::Case::kInsensitive),
              ElementsAre("/etc/A.CONF", "/etc/b.conf", "/x/y/etc/c.conf"));
  EXPECT_THAT(find(tree, {"y"}), ElementsAre("/x/y", "/x/y/etc", "/x/y/etc/c.conf"));
  EXPECT_THAT(find(tree, {"/x/**/c.conf", "notes"}), ElementsAre("/notes", "/x/y/etc/c.conf"));
  EXPECT_THAT(find(tree, {"nothing"}), IsEmpty());
}

TEST_F(FileSearches, TimesAreInclusive) {
  std::vector<Node> nodes(4);
  for (size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].name = "f" + std::to_string(i);
    nodes[i].mtime.seconds = 100 + static_cast<int64_t>(i);
  }
  nodes[2].mtime = {101, 1, 0};
  const BlobId tree = repository_.store_tree(nodes);
  constexpr auto kCase = PathPatterns::Case::kSensitive;
  EXPECT_THAT(find(tree, {"f*"}, kCase, 101), ElementsAre("/f1", "/f2", "/f3"));
  EXPECT_THAT(find(tree, {"f*"}, kCase, {}, 101), ElementsAre("/f0", "/f1"));
  EXPECT_THAT(find(tree, {"f*"}, kCase, 101, 102), ElementsAre("/f1", "/f2"));
  EXPECT_THAT(find(tree, {"f*"}, kCase, 104), IsEmpty());
}

TEST_F(FileSearches, WhatCannotBeReadIsToldAndTheRestIsSearched) {
  Node lost;
  lost.name = "lost";
  lost.type = NodeType::kDir;
  lost.subtree = BlobId(sha256(as_bytes(std::string_view("gone"))));
  Node file;
  file.name = "zz.conf";
  const BlobId tree = repository_.store_tree({lost, file});
  EXPECT_THAT(find(tree, {"*.conf"}), ElementsAre("/zz.conf"));
  EXPECT_THAT(unreadable_, ElementsAre("/lost"));
}

}  // namespace
}  // namespace salvor
