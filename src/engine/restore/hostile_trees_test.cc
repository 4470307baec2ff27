// Snapshots made to keep a reader busy, to fill its memory or its stack; and honest ones that look
// a little like them, which must not be refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/copies/replicator.h"
#include "engine/maintenance/checker.h"
#include "engine/maintenance/repair.h"
#include "engine/maintenance/rewriter.h"
#include "engine/maintenance/sample_check.h"
#include "engine/reading/tree_descent.h"
#include "engine/restore/restorer.h"
#include "engine/snapshots/differ.h"
#include "engine/snapshots/file_search.h"
#include "engine/snapshots/object_search.h"
#include "engine/snapshots/stats.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

using test::SmallRepository;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// However many paths a snapshot has: nobody may have visited more before it is refused.
constexpr uint64_t kMostVisited = 100'000;
constexpr unsigned kManyLevels = 40;

const BlobId kMissing(sha256(as_bytes(std::string_view("never stored"))));

Node directory(const std::string& name, const BlobId& subtree) {
  Node node;
  node.name = name;
  node.type = NodeType::kDir;
  node.mode = go_mode::kDir | 0755U;
  node.subtree = subtree;
  return node;
}

Node file(const std::string& name, std::vector<BlobId> content = {}) {
  Node node;
  node.name = name;
  node.mode = 0644;
  node.content = std::move(content);
  return node;
}

class HostileTrees : public ::testing::Test {
 protected:
  // Stores `levels` trees, each of which `make`s a directory of the one before.
  BlobId stack(BlobId below, unsigned levels,
               const std::function<std::vector<Node>(const BlobId& below)>& make) {
    Repository& repository = repository_.repository();
    repository.load_index(context_);
    WriteSession session(context_, repository, {});
    {
      const std::unique_ptr<BlobWriter> writer = session.make_writer();
      for (unsigned i = 0; i < levels; ++i) {
        const std::string json = encode_tree(Tree{make(below)});
        below = BlobId(sha256(as_bytes(json)));
        writer->add(BlobType::kTree, below, as_bytes(json));
      }
      writer->flush();
    }
    session.finish(context_);
    return below;
  }
  // 2^levels paths to `leaf`, which are in the directories a and b of each other.
  BlobId exploding(const Node& leaf, unsigned levels = kManyLevels) {
    return stack(repository_.store_tree({leaf}), levels, [](const BlobId& below) {
      return std::vector<Node>{directory("a", below), directory("b", below)};
    });
  }
  // One path with so many directories.
  BlobId chain(const Node& leaf, unsigned levels, const std::string& name = "d") {
    return stack(repository_.store_tree({leaf}), levels,
                 [&](const BlobId& below) { return std::vector<Node>{directory(name, below)}; });
  }
  StoredSnapshot snapshot_of(const BlobId& tree) {
    Snapshot snapshot;
    snapshot.time = {1700000000, 0, 0};
    snapshot.paths = {"/data"};
    snapshot.tree = tree;
    return repository_.save(snapshot);
  }
  Repository& loaded() {
    repository_.repository().load_index(context_);
    return repository_.repository();
  }
  uint64_t count_by_walking(const BlobId& root) {
    BlobReader reader(loaded());
    walk_tree(context_, reader, root, "", [&](const NodePlace&, const Node&) {
      ++visited_;
      return Descend::kYes;
    });
    return visited_;
  }
  static void expect_refused(const std::function<void()>& work, const std::string& named) {
    try {
      work();
      ADD_FAILURE() << "was not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged);
      EXPECT_THAT(error.message(), HasSubstr("paths: the same directories are in it again"));
      EXPECT_THAT(error.message(), HasSubstr(named));
      EXPECT_THAT(error.hint(), HasSubstr("salvor forget"));
    }
  }
  RestoreOptions restore_options() {
    RestoreOptions options;
    options.target = target_.path();
    options.dry_run = true;
    options.threads = 2;
    return options;
  }

  SmallRepository repository_;
  const Context context_ = repository_.context();
  test::TempDirectory target_;
  uint64_t visited_ = 0;
};

// ---- more paths than can be visited ----

TEST_F(HostileTrees, AWalkIsRefusedSoonAndNamesTheTree) {
  const BlobId root = exploding(file("f"));
  expect_refused([&] { static_cast<void>(count_by_walking(root)); }, root.hex());
  EXPECT_LT(visited_, kMostVisited);
}

TEST_F(HostileTrees, BetweenHonestDirectoriesTheyAreFoundOut) {
  // Many different trees come first, and stand beside the hostile one on every level of a count.
  std::vector<Node> nodes;
  unsigned number = 0;
  stack({}, 2000, [&](const BlobId& last) {
    if (!last.is_null()) {
      nodes.push_back(directory("dir" + std::to_string(10000 + number), last));
    }
    return std::vector<Node>{file("f" + std::to_string(number++))};
  });
  nodes.push_back(directory("z", exploding(file("f"))));
  const BlobId root = repository_.store_tree(nodes);
  expect_refused([&] { static_cast<void>(count_by_walking(root)); }, root.hex());
  EXPECT_LT(visited_, kMostVisited);
}

// Counting goes by what can be read of the levels below the root.
TEST_F(HostileTrees, ADamagedDirectoryBesideThemHidesNothing) {
  const BlobId damaged = repository_.store_tree({file("in it")});
  const BlobId root =
      repository_.store_tree({directory("a", exploding(file("f"))), directory("b", damaged)});
  const BlobLocation place = loaded().index().find({BlobType::kTree, damaged}).value();
  repository_.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  expect_refused([&] { static_cast<void>(count_by_walking(root)); }, root.hex());
}

TEST_F(HostileTrees, ASearchIsRefused) {
  const BlobId root = exploding(file("f"));
  BlobReader reader(loaded());
  uint64_t found = 0;
  const auto unreadable = [](const std::string&, const Error&) { ADD_FAILURE(); };
  expect_refused(
      [&] {
        FileSearch(PathPatterns(std::vector<std::string>{"f"}, PathPatterns::Case::kSensitive), {},
                   {})
            .run(
                context_, reader, root, [&](const std::string&, const Node&) { ++found; },
                unreadable);
      },
      root.hex());
  EXPECT_LT(found, kMostVisited);

  ObjectSearch objects(repository_.repository());
  objects.add_blobs(BlobType::kTree, {root.hex()});
  Snapshot snapshot;
  snapshot.tree = root;
  expect_refused(
      [&] { objects.run(context_, reader, snapshot, [](const ObjectUse&) {}, unreadable); },
      root.hex());
}

TEST_F(HostileTrees, StatisticsByContentsCountThemAndRestoreSizeNamesTheSnapshot) {
  const BlobId content = repository_.store(BlobType::kData, "content");
  Node leaf = file("f", {content});
  leaf.size = 7;
  const StoredSnapshot stored = snapshot_of(exploding(leaf));
  const std::vector<StoredSnapshot> all = {stored};
  EXPECT_EQ(count_stats(context_, loaded(), all, StatsMode::kBlobsPerFile).size_bytes, 7U);
  EXPECT_EQ(count_stats(context_, loaded(), all, StatsMode::kRawData).blobs, kManyLevels + 2U);
  expect_refused(
      [&] { static_cast<void>(count_stats(context_, loaded(), all, StatsMode::kRestoreSize)); },
      "snapshot " + stored.id.short_hex());
}

TEST_F(HostileTrees, ADifferenceIsRefusedButWhatIsEqualIsReadOnce) {
  const BlobId one = exploding(file("f"));
  const BlobId two = exploding(file("g"));
  uint64_t changes = 0;
  const auto count = [&](const std::string&, const std::string&) { ++changes; };
  expect_refused([&] { static_cast<void>(diff_trees(context_, loaded(), one, two, false, count)); },
                 one.hex());
  EXPECT_LT(changes, kMostVisited);

  const BlobId before = repository_.store_tree({directory("d", one)});
  const BlobId after = repository_.store_tree({directory("d", one), file("new")});
  std::vector<std::string> lines;
  const DiffStatistics sum =
      diff_trees(context_, loaded(), before, after, false,
                 [&](const std::string& path, const std::string&) { lines.push_back(path); });
  EXPECT_THAT(lines, ElementsAre("/new"));
  EXPECT_EQ(sum.added.tree_blobs, 1U);

  const BlobId without = repository_.store_tree({file("new")});
  expect_refused(
      [&] { static_cast<void>(diff_trees(context_, loaded(), after, without, false, count)); },
      one.hex());
}

TEST_F(HostileTrees, ARestoreIsRefused) {
  const BlobId root = exploding(file("f"));
  expect_refused(
      [&] { static_cast<void>(Restorer(loaded()).run(context_, root, restore_options())); },
      root.hex());
}

TEST_F(HostileTrees, ARewriteIsRefusedExceptForTheSummary) {
  const StoredSnapshot stored = snapshot_of(exploding(file("f")));
  RewriteOptions options;
  options.snapshot_summary = true;
  const RewriteResult result = rewrite_snapshot(context_, loaded(), stored, options);
  EXPECT_EQ(loaded().load_snapshot(context_, *result.new_id).summary->total_files_processed,
            uint64_t{1} << kManyLevels);
  options = {};
  options.selection.excludes = PathPatterns(std::vector<std::string>{"/a/b/a"});
  expect_refused([&] { static_cast<void>(rewrite_snapshot(context_, loaded(), stored, options)); },
                 stored.snapshot.tree.hex());
  EXPECT_THAT(loaded().load_snapshots(context_), SizeIs(2));
}

TEST_F(HostileTrees, MoreThanCanBeCountedDoesNotWrapAround) {
  const StoredSnapshot stored = snapshot_of(exploding(file("f"), 70));
  RewriteOptions options;
  options.snapshot_summary = true;
  const RewriteResult result = rewrite_snapshot(context_, loaded(), stored, options);
  EXPECT_EQ(loaded().load_snapshot(context_, *result.new_id).summary->total_files_processed,
            UINT64_MAX);
}

TEST_F(HostileTrees, ACheckCountsEveryPathToDamageAndListsSome) {
  snapshot_of(exploding(file("f", {kMissing})));
  const CheckReport report = Checker(context_, *repository_.reopen(), {}).run();
  ASSERT_THAT(report.findings, SizeIs(1));
  EXPECT_EQ(report.findings[0].file_count, uint64_t{1} << kManyLevels);
  ASSERT_FALSE(report.findings[0].files.empty());
  EXPECT_THAT(report.findings[0].files[0].path, HasSubstr("/a/a/a/a/a/a/a"));
}

TEST_F(HostileTrees, ARepairMendsEachTreeOnceAndListsSomeOfThePaths) {
  const StoredSnapshot stored = snapshot_of(exploding(file("f", {kMissing})));
  Repository& repository = loaded();
  const std::vector<SnapshotRepair> reports =
      repair_snapshots(context_, repository, std::vector{stored}, {});
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_THAT(reports[0].changes, SizeIs(10'000));
  EXPECT_THAT(reports[0].changes[1], HasSubstr("/a/b/f: removed missing content"));
  EXPECT_EQ(reports[0].changes_not_listed, (uint64_t{1} << kManyLevels) - 10'000);
  EXPECT_TRUE(
      Checker(context_, *repository_.reopen(), {.snapshots = std::vector{*reports[0].new_id}})
          .run()
          .ok());
}

TEST_F(HostileTrees, ACopyCopiesEachTreeOnce) {
  const StoredSnapshot stored = snapshot_of(exploding(file("f")));
  SmallRepository to;
  const std::unique_ptr<Repository> target = to.reopen();
  target->load_index(to.context());
  Replicator(to.context(), loaded(), *target, {}).copy(std::vector{stored});
  EXPECT_EQ(target->index().blob_count(), kManyLevels + 1U);
}

// ---- honest ones ----

// A cache in directories 00/00 to ff/ff, prepared but empty: few trees, many paths.
TEST_F(HostileTrees, ManyEqualDirectoriesAreWalkedToTheEnd) {
  constexpr unsigned kNames = 200;
  const BlobId root = stack(repository_.store_tree({}), 2, [](const BlobId& below) {
    std::vector<Node> nodes;
    for (unsigned i = 0; i < kNames; ++i) {
      nodes.push_back(directory("cache" + std::to_string(1000 + i), below));
    }
    return nodes;
  });
  EXPECT_EQ(count_by_walking(root), kNames + kNames * kNames);
}

TEST_F(HostileTrees, TheNumberOfPathsIsCountedExactlyWhenTreesRepeat) {
  const BlobId root = exploding(file("f"), 15);  // 2^16 - 2 directories, 2^15 files
  constexpr uint64_t kPaths = (uint64_t{1} << 16) - 2 + (uint64_t{1} << 15);
  BlobReader reader(loaded());
  for (const uint64_t most : {kPaths - 1, kPaths}) {
    TreeDescent descent(context_, reader, {}, {.most_paths = most});
    const auto walk = [&] {
      descent.enter(root, {}, reader.load_tree(context_, root));
      while (!descent.done()) {
        const Node* node = descent.next();
        if (node == nullptr) {
          descent.leave();
        } else if (node->subtree) {
          const Node copy = *node;
          descent.enter(*copy.subtree, copy.name, reader.load_tree(context_, *copy.subtree));
          descent.check_paths();
        }
      }
    };
    if (most < kPaths) {
      expect_refused(walk, root.hex());
    } else {
      EXPECT_NO_THROW(walk());
    }
  }
}

// ---- deep ones ----

TEST_F(HostileTrees, DeepChainsAreFollowedByEverything) {
  constexpr unsigned kDeep = 3000;
  const BlobId root = chain(file("f", {kMissing}), kDeep);
  const BlobId other = chain(file("g"), kDeep);
  const StoredSnapshot stored = snapshot_of(root);
  EXPECT_EQ(count_by_walking(root), kDeep + 1);

  std::vector<std::string> lines;
  static_cast<void>(
      diff_trees(context_, loaded(), root, other, false,
                 [&](const std::string& path, const std::string&) { lines.push_back(path); }));
  EXPECT_THAT(lines, SizeIs(2));

  const CheckReport report = Checker(context_, *repository_.reopen(), {}).run();
  ASSERT_THAT(report.findings, SizeIs(1));
  EXPECT_EQ(report.findings[0].files.at(0).path.size(), 2 * kDeep + 2);

  RewriteOptions options;
  options.selection.excludes = PathPatterns(std::vector<std::string>{"f"});
  EXPECT_TRUE(rewrite_snapshot(context_, loaded(), stored, options).changed);

  const std::vector<SnapshotRepair> reports =
      repair_snapshots(context_, loaded(), std::vector{stored}, {.dry_run = true});
  EXPECT_THAT(reports.at(0).changes, SizeIs(1));

  const RestoreResult result = Restorer(loaded()).run(context_, other, restore_options());
  EXPECT_EQ(result.errors, 0U);
}

// The directories that are under way are let go all at once.
TEST_F(HostileTrees, AnInterruptedRestoreOfADeepChainEnds) {
  const BlobId root = chain(file("f"), 5000);
  RestoreOptions options = restore_options();
  options.selection.includes = PathPatterns(std::vector<std::string>{"f"});
  Restorer restorer(loaded());
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    repository_.test_context().stop.request_stop();
  });
  try {
    static_cast<void>(restorer.run(context_, root, options));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

TEST_F(HostileTrees, PathsHaveALongestLength) {
  const std::string name(255, 'n');
  const BlobId deep = chain(file("f"), 1100, name);
  const BlobId root = repository_.store_tree({directory("deep", deep), file("flat")});
  try {
    static_cast<void>(count_by_walking(root));
    ADD_FAILURE() << "was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDamaged);
    EXPECT_THAT(error.message(), HasSubstr("nested so deeply"));
    EXPECT_THAT(error.message(), HasSubstr("/deep/nnn"));
    EXPECT_LT(error.message().size(), 1000U);
  }
  // A restore leaves out what is too deep, says so, and restores the rest.
  Restorer restorer(loaded());
  EXPECT_EQ(restorer.run(context_, root, restore_options()).errors, 1U);
  EXPECT_EQ(restorer.progress().files_restored,
            1025U + 1U);  // the one too deep, but not what is in it
}

// Damage is counted by trees; its path is told as far as there can be one.
TEST_F(HostileTrees, DamageBelowTheLongestPathIsCounted) {
  snapshot_of(chain(file("f", {kMissing}), 1100, std::string(255, 'n')));
  const CheckReport report = Checker(context_, *repository_.reopen(), {}).run();
  ASSERT_THAT(report.findings, SizeIs(1));
  EXPECT_EQ(report.findings[0].file_count, 1U);
  EXPECT_THAT(report.findings[0].snapshots, SizeIs(1));
  EXPECT_THAT(report.findings[0].files, IsEmpty());
}

TEST_F(HostileTrees, ASampleOfADeepChainEnds) {
  const BlobId root = chain(file("f", {kMissing}), 4100);
  const SampleResult sample =
      check_sample(context_, loaded(), root, {.most_time = std::chrono::seconds(0)});
  EXPECT_TRUE(sample.sound());
  EXPECT_EQ(sample.trees, 4096U);
  EXPECT_EQ(sample.blobs, 0U);
}

// ---- memory ----

TEST_F(HostileTrees, ADescentHoldsAsMuchAsItMayAndReadsTheRestAgain) {
  std::vector<std::string> expected;
  const BlobId root =
      stack(repository_.store_tree({file("f"), file("g")}), 12, [](const BlobId& below) {
        return std::vector<Node>{file("a"), directory("b", below), file("c"), file("d")};
      });
  BlobReader reader(loaded());
  std::vector<std::string> all;
  for (const size_t held : {size_t{64} << 20, size_t{0}}) {
    std::vector<std::string> paths;
    TreeDescent descent(context_, reader, "/top", {.held_bytes = held});
    descent.enter(root, {}, reader.load_tree(context_, root));
    while (!descent.done()) {
      const Node* node = descent.next();
      if (node == nullptr) {
        descent.leave();
        continue;
      }
      paths.push_back(descent.path() + "/" + node->name);
      if (node->subtree) {
        const Node copy = *node;
        descent.enter(*copy.subtree, copy.name, reader.load_tree(context_, *copy.subtree));
      }
    }
    EXPECT_EQ(paths.size(), 12U * 4 + 2);
    EXPECT_EQ(paths[1], "/top/b");
    EXPECT_EQ(paths.back(), "/top/d");
    if (all.empty()) {
      all = paths;
    }
    EXPECT_EQ(paths, all);
  }
}

}  // namespace
}  // namespace salvor
