#include "engine/snapshots/differ.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Diff {
  std::vector<std::string> lines;
  DiffStatistics statistics;
};

Diff diff(SmallRepository& repository, const BlobId& before, const BlobId& after,
          bool show_metadata = false) {
  repository.repository().load_index(repository.context());
  Diff result;
  result.statistics =
      diff_trees(repository.context(), repository.repository(), before, after, show_metadata,
                 [&](const std::string& path, const std::string& modifier) {
                   result.lines.push_back(modifier + " " + path);
                 });
  return result;
}

BlobId tree_of(SmallRepository& repository, const Files& files) {
  return repository.repository().load_snapshot(repository.context(), repository.backup(files)).tree;
}

Node file(const std::string& name, std::vector<BlobId> content, uint32_t mode = 0644) {
  Node node;
  node.name = name;
  node.mode = mode;
  node.content = std::move(content);
  return node;
}

TEST(Differ, NamesWhatCameWentAndChanged) {
  SmallRepository repository;
  const BlobId before = tree_of(repository, {{"a/gone", some_content(1, 1500)},
                                             {"a/same", some_content(2, 500)},
                                             {"b/changed", some_content(3, 2500)},
                                             {"old/x", some_content(4, 10)}});
  const BlobId after = tree_of(repository, {{"a/same", some_content(2, 500)},
                                            {"b/changed", some_content(5, 1200)},
                                            {"b/new", some_content(6, 700)}});
  const Diff result = diff(repository, before, after);
  EXPECT_THAT(result.lines,
              ElementsAre("- /a/gone", "M /b/changed", "+ /b/new", "- /old/", "- /old/x"));
  EXPECT_EQ(result.statistics.changed_files, 1U);
  EXPECT_EQ(result.statistics.added.files, 1U);
  EXPECT_EQ(result.statistics.removed.files, 2U);
  EXPECT_EQ(result.statistics.removed.dirs, 1U);
  EXPECT_EQ(result.statistics.added.data_blobs, 3U);    // two of b/changed, one of b/new
  EXPECT_EQ(result.statistics.removed.data_blobs, 6U);  // two, three, one
  EXPECT_EQ(result.statistics.added.tree_blobs, 3U);    // the root, a, b
  EXPECT_EQ(result.statistics.removed.tree_blobs, 4U);  // and old
}

TEST(Differ, FindsNothingBetweenATreeAndItself) {
  SmallRepository repository;
  const BlobId tree = tree_of(repository, {{"d/a", "x"}, {"b", "y"}});
  const Diff result = diff(repository, tree, tree, true);
  EXPECT_THAT(result.lines, IsEmpty());
  EXPECT_EQ(result.statistics.added.bytes + result.statistics.removed.bytes, 0U);
  EXPECT_EQ(result.statistics.added.tree_blobs, 0U);
}

// Content that is still somewhere else was neither added nor removed.
TEST(Differ, CountsNoBlobThatTheOtherSideHas) {
  SmallRepository repository;
  const std::string content = some_content(1, 900);
  const BlobId before = tree_of(repository, {{"keep/copy", content}, {"moved", content}});
  const BlobId after = tree_of(repository, {{"keep/copy", content}, {"there", content}});
  const Diff result = diff(repository, before, after);
  EXPECT_THAT(result.lines, ElementsAre("- /moved", "+ /there"));
  EXPECT_EQ(result.statistics.added.data_blobs, 0U);
  EXPECT_EQ(result.statistics.removed.data_blobs, 0U);
}

TEST(Differ, TellsTypesMetadataAndSilentChangesApart) {
  SmallRepository repository;
  const BlobId one = repository.store(BlobType::kData, "one");
  const BlobId two = repository.store(BlobType::kData, "two");
  Node link;
  link.name = "type";
  link.type = NodeType::kSymlink;
  Node other = file("rot", {two});
  Node touched = file("touched", {two});
  touched.mtime.seconds = 7;
  const BlobId before = repository.store_tree(
      {file("mode", {one}), file("rot", {one}), file("touched", {one}), file("type", {one})});
  const BlobId after = repository.store_tree({file("mode", {one}, 0600), other, touched, link});
  EXPECT_THAT(diff(repository, before, after).lines,
              ElementsAre("M? /rot", "M /touched", "T /type"));
  const Diff all = diff(repository, before, after, true);
  EXPECT_THAT(all.lines, ElementsAre("U /mode", "M? /rot", "M /touched", "TU /type"));
  EXPECT_EQ(all.statistics.changed_files, 2U);
}

TEST(Differ, SaysWhichTreeIsMissing) {
  SmallRepository repository;
  const BlobId tree = tree_of(repository, {{"a", "x"}});
  EXPECT_THROW((void)diff(repository, tree, BlobId(sha256(as_bytes(std::string_view("gone"))))),
               Error);
}

}  // namespace
}  // namespace salvor
