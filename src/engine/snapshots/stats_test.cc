#include "engine/snapshots/stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using test::SmallRepository;
using test::some_content;

Stats count(SmallRepository& repository, StatsMode mode) {
  repository.repository().load_index(repository.context());
  const std::vector<StoredSnapshot> all =
      repository.repository().load_snapshots(repository.context());
  return count_stats(repository.context(), repository.repository(), all, mode);
}

Node file(const std::string& name, uint64_t inode, uint64_t links, const BlobId& content) {
  Node node;
  node.name = name;
  node.mode = 0644;
  node.inode = inode;
  node.links = links;
  node.size = 1000;
  node.content = {content};
  return node;
}

TEST(Stats, RestoreSizeCountsEverySnapshotAndHardLinksOnce) {
  SmallRepository repository;
  const BlobId content = repository.store(BlobType::kData, some_content(1, 1000));
  Snapshot snapshot;
  snapshot.tree = repository.store_tree({file("a", 5, 2, content), file("b", 5, 2, content),
                                         file("c", 6, 1, content), file("d", 0, 2, content)});
  repository.save(snapshot);
  EXPECT_EQ(count(repository, StatsMode::kRestoreSize).size_bytes, 3000U);
  EXPECT_EQ(count(repository, StatsMode::kRestoreSize).files, 4U);
  snapshot.hostname = "other";
  repository.save(snapshot);
  const Stats both = count(repository, StatsMode::kRestoreSize);
  EXPECT_EQ(both.snapshots, 2U);
  EXPECT_EQ(both.size_bytes, 6000U);
  EXPECT_EQ(both.files, 8U);
}

TEST(Stats, TheWaysOfCountingDiffer) {
  SmallRepository repository;
  const std::string same = some_content(1, 2500);  // three blobs
  repository.backup({{"a", same}, {"b", same}, {"c", some_content(2, 800)}});
  repository.backup({{"a", same}, {"c", some_content(3, 600)}}, 1700000001);
  const Stats contents = count(repository, StatsMode::kFilesByContents);
  EXPECT_EQ(contents.files, 3U);
  EXPECT_EQ(contents.size_bytes, 2500U + 800 + 600);
  const Stats blobs = count(repository, StatsMode::kBlobsPerFile);
  EXPECT_EQ(blobs.blobs, 5U);
  EXPECT_EQ(blobs.size_bytes, 2500U + 800 + 600);
  EXPECT_EQ(blobs.files, 2U);  // the paths a and c
  const Stats raw = count(repository, StatsMode::kRawData);
  EXPECT_EQ(raw.blobs, 5U + 2);  // and two trees
  EXPECT_LT(raw.size_bytes, raw.uncompressed_bytes);
  EXPECT_GT(raw.uncompressed_bytes, 2500U + 800 + 600 + 7 * 32);
  EXPECT_LE(raw.size_bytes, repository.stored_bytes(ObjectKind::kPack));
}

// What no snapshot refers to is not counted.
TEST(Stats, RawDataIsWhatTheSnapshotsUse) {
  SmallRepository repository;
  repository.backup({{"a", "x"}});
  const Stats before = count(repository, StatsMode::kRawData);
  repository.store(BlobType::kData, some_content(9, 900));
  EXPECT_EQ(count(repository, StatsMode::kRawData).size_bytes, before.size_bytes);
}

TEST(Stats, SaysWhichBlobTheIndexLacks) {
  SmallRepository repository;
  Snapshot snapshot;
  snapshot.tree =
      repository.store_tree({file("a", 1, 1, BlobId(sha256(as_bytes(std::string_view("gone")))))});
  repository.save(snapshot);
  try {
    (void)count(repository, StatsMode::kBlobsPerFile);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDamaged);
    EXPECT_NE(error.message().find("not in the index"), std::string::npos);
  }
}

}  // namespace
}  // namespace salvor
