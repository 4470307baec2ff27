#include "engine/maintenance/rewriter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using ::testing::ElementsAre;

class Rewrites : public ::testing::Test {
 protected:
  RewriteResult rewrite(const StoredSnapshot& old, const RewriteOptions& options) {
    const std::unique_ptr<Repository> repository = repository_.reopen();
    repository->load_index(repository_.context());
    return rewrite_snapshot(repository_.context(), *repository, old, options);
  }
  StoredSnapshot backup(const Files& files) {
    const SnapshotId id = repository_.backup(files);
    return {id, load(id)};
  }
  Snapshot load(const SnapshotId& id) {
    return repository_.repository().load_snapshot(repository_.context(), id);
  }
  static RewriteOptions excluding(const std::string& pattern) {
    RewriteOptions options;
    options.selection.excludes = PathPatterns(std::vector<std::string>{pattern});
    return options;
  }
  static RewriteOptions including(const std::string& pattern) {
    RewriteOptions options;
    options.selection.includes = PathPatterns(std::vector<std::string>{pattern});
    return options;
  }
  // A snapshot whose tree has a field that is not ours.
  StoredSnapshot with_unknown_field(const std::string& where) {
    std::string json = encode_tree(Tree{{Node{.name = "f"}}});
    const size_t at = json.find(where);
    EXPECT_NE(at, std::string::npos);
    json.insert(at, "\"future\":1,");
    Node directory;
    directory.name = "d";
    directory.type = NodeType::kDir;
    directory.subtree = repository_.store(BlobType::kTree, json);
    Snapshot snapshot;
    snapshot.tree = repository_.store_tree({directory});
    return repository_.save(snapshot);
  }

  SmallRepository repository_;
};

TEST_F(Rewrites, LeaveOutWhatIsExcludedAndNothingElse) {
  const StoredSnapshot old = backup({{"d/keep", "1"}, {"d/secret", "2"}, {"e/x", "3"}});
  RewriteOptions options = excluding("secret");
  std::vector<std::string> removed;
  options.on_removed = [&](const std::string& path) { removed.push_back(path); };
  const RewriteResult result = rewrite(old, options);
  ASSERT_TRUE(result.changed && result.new_id);
  EXPECT_THAT(removed, ElementsAre("/d/secret"));
  EXPECT_EQ(repository_.read(*result.new_id), (Files{{"d/keep", "1"}, {"e/x", "3"}}));
  const Snapshot changed = load(*result.new_id);
  EXPECT_EQ(changed.original, old.id);
  EXPECT_THAT(changed.tags, ElementsAre("rewrite"));
  EXPECT_EQ(changed.summary->total_files_processed, 2U);
  EXPECT_EQ(repository_.read(old.id).size(), 3U);  // the old one stays
}

TEST_F(Rewrites, IncludesKeepNoEmptyDirectories) {
  const StoredSnapshot old = backup({{"d/a.txt", "1"}, {"d/b", "2"}, {"e/x", "3"}});
  const RewriteResult result = rewrite(old, including("*.txt"));
  ASSERT_TRUE(result.new_id);
  EXPECT_EQ(repository_.read(*result.new_id), (Files{{"d/a.txt", "1"}}));
  EXPECT_EQ(load(*result.new_id).summary->total_files_processed, 1U);
  const std::unique_ptr<Repository> fresh = repository_.reopen();
  fresh->load_index(repository_.context());
  EXPECT_EQ(
      BlobReader(*fresh).load_tree(repository_.context(), load(*result.new_id).tree).nodes.size(),
      1U);
  EXPECT_FALSE(rewrite(old, including("nothing")).changed);
}

TEST_F(Rewrites, NothingToChangeStoresNothing) {
  StoredSnapshot old = backup({{"d/a", "1"}});
  // With its summary there is nothing left to add.
  RewriteOptions summary;
  summary.snapshot_summary = true;
  const RewriteResult first = rewrite(old, summary);
  ASSERT_TRUE(first.new_id);
  old = {*first.new_id, load(*first.new_id)};
  const size_t packs = repository_.list(ObjectKind::kPack).size();
  EXPECT_FALSE(rewrite(old, summary).changed);
  EXPECT_FALSE(rewrite(old, excluding("nothing")).changed);
  EXPECT_EQ(repository_.list(ObjectKind::kPack).size(), packs);
  EXPECT_EQ(repository_.list(ObjectKind::kSnapshot).size(), 2U);
}

TEST_F(Rewrites, ADryRunOnlyTells) {
  const StoredSnapshot old = backup({{"a", "1"}, {"b", "2"}});
  RewriteOptions options = excluding("a");
  options.dry_run = true;
  options.forget = true;
  const size_t packs = repository_.list(ObjectKind::kPack).size();
  EXPECT_TRUE(rewrite(old, options).changed);
  EXPECT_EQ(repository_.list(ObjectKind::kPack).size(), packs);
  EXPECT_EQ(repository_.list(ObjectKind::kSnapshot).size(), 1U);
}

TEST_F(Rewrites, MetadataChangesReadNoTree) {
  Snapshot snapshot;
  snapshot.tree = BlobId(sha256(as_bytes(std::string_view("gone"))));
  snapshot.hostname = "old";
  const StoredSnapshot old = repository_.save(snapshot);
  RewriteOptions options;
  options.new_host = "new";
  options.new_time = Timestamp{5, 0, 0};
  options.forget = true;
  const Snapshot changed = load(rewrite(old, options).new_id.value());
  EXPECT_EQ(changed.hostname, "new");
  EXPECT_EQ(changed.time.seconds, 5);
  EXPECT_TRUE(changed.tags.empty());
  EXPECT_EQ(repository_.list(ObjectKind::kSnapshot).size(), 1U);
}

// More than are read ahead.
TEST_F(Rewrites, ManyDirectoriesSideBySide) {
  Files files;
  Files left;
  for (int i = 0; i < 150; ++i) {
    const std::string number = std::to_string(i);
    files["d" + number + "/keep"] = left["d" + number + "/keep"] = number;
    files["d" + number + "/secret"] = "s";
  }
  const RewriteResult result = rewrite(backup(files), excluding("secret"));
  ASSERT_TRUE(result.new_id);
  EXPECT_EQ(repository_.read(*result.new_id), left);
}

TEST_F(Rewrites, RefuseTreesThatAreNotInOrder) {
  Snapshot snapshot;
  snapshot.tree = repository_.store(
      BlobType::kTree, R"({"nodes":[{"name":"b","type":"file","mode":420,"content":[]},)"
                       R"({"name":"a","type":"file","mode":420,"content":[]}]})"
                       "\n");
  const StoredSnapshot old = repository_.save(snapshot);
  try {
    (void)rewrite(old, excluding("a"));
    FAIL() << "its order was lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailed);
    EXPECT_NE(error.message().find("tree at \"/\""), std::string::npos) << error.message();
  }
}

// What a newer program has stored would be lost silently.
TEST_F(Rewrites, RefuseTreesWithUnknownFields) {
  for (const char* where : {"\"nodes\"", "\"name\""}) {
    const StoredSnapshot old = with_unknown_field(where);
    const size_t snapshots = repository_.list(ObjectKind::kSnapshot).size();
    try {
      RewriteOptions options = excluding("f");
      options.forget = true;
      (void)rewrite(old, options);
      FAIL() << where;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kFailed);
      EXPECT_NE(error.message().find("\"/d\""), std::string::npos) << error.message();
      EXPECT_FALSE(error.hint().empty());
    }
    EXPECT_EQ(repository_.list(ObjectKind::kSnapshot).size(), snapshots);
  }
}

}  // namespace
}  // namespace salvor
