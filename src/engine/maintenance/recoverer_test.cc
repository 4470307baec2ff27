#include "engine/maintenance/recoverer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/maintenance/checker.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Files kOne = {{"a/one", some_content(1, 2500)}, {"b", some_content(2, 700)}};
const Files kTwo = {{"a/one", some_content(1, 2500)}, {"c/three", some_content(3, 1200)}};

RecoverResult recover(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  RecoverOptions options;
  options.snapshot.time = {1800000000, 0, 3600};
  options.snapshot.hostname = "here";
  return salvor::recover(repository.context(), *fresh, options);
}

void remove(SmallRepository& repository, ObjectKind kind, const std::string& name) {
  repository.storage().remove(repository.context(), {kind, name});
}

Files below(const Files& files, const std::string& directory) {
  Files moved;
  for (const auto& [name, content] : files) {
    moved[directory + "/" + name] = content;
  }
  return moved;
}

BlobId root_of(SmallRepository& repository, const SnapshotId& id) {
  return repository.reopen()->load_snapshot(repository.context(), id).tree;
}

TEST(Recover, BringsBackAForgottenSnapshot) {
  SmallRepository repository;
  const SnapshotId lost = repository.backup(kOne);
  const SnapshotId kept = repository.backup(kTwo);
  const BlobId root = root_of(repository, lost);
  remove(repository, ObjectKind::kSnapshot, lost.hex());

  const RecoverResult result = recover(repository);
  EXPECT_THAT(result.roots, ElementsAre(root));
  ASSERT_TRUE(result.snapshot);
  EXPECT_EQ(repository.read(*result.snapshot), below(kOne, root.short_hex()));
  EXPECT_EQ(repository.read(kept), kTwo);
  const Snapshot made = repository.reopen()->load_snapshot(repository.context(), *result.snapshot);
  EXPECT_THAT(made.paths, ElementsAre("/recover"));
  EXPECT_THAT(made.tags, ElementsAre("recovered"));
  EXPECT_EQ(made.hostname, "here");
}

TEST(Recover, MakesNothingWhereNothingIsLeftOver) {
  SmallRepository repository;
  repository.backup(kOne);
  const size_t packs = repository.list(ObjectKind::kPack).size();
  const RecoverResult result = recover(repository);
  EXPECT_THAT(result.roots, IsEmpty());
  EXPECT_FALSE(result.snapshot);
  EXPECT_THAT(repository.list(ObjectKind::kPack), SizeIs(packs));
}

TEST(Recover, ASecondRunFindsNothingMore) {
  SmallRepository repository;
  remove(repository, ObjectKind::kSnapshot, repository.backup(kOne).hex());
  EXPECT_TRUE(recover(repository).snapshot);
  EXPECT_FALSE(recover(repository).snapshot);
}

TEST(Recover, FindsWhatNoIndexListsAndNoSnapshotNames) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kOne);
  const BlobId root = root_of(repository, id);
  remove(repository, ObjectKind::kSnapshot, id.hex());
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    remove(repository, ObjectKind::kIndex, info.name);
  }
  const RecoverResult result = recover(repository);
  EXPECT_FALSE(result.index.added.empty());
  ASSERT_TRUE(result.snapshot);
  EXPECT_EQ(repository.read(*result.snapshot), below(kOne, root.short_hex()));
}

TEST(Recover, ADamagedTreeIsToldAndWhatWasBelowItIsSaved) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kOne);
  const BlobId root = root_of(repository, id);
  remove(repository, ObjectKind::kSnapshot, id.hex());
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  const BlobLocation place = *fresh->index().find({BlobType::kTree, root});
  repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);

  const RecoverResult result = recover(repository);
  EXPECT_THAT(result.unreadable, ElementsAre(root));
  ASSERT_TRUE(result.snapshot);
  ASSERT_THAT(result.roots, SizeIs(1));  // the directory "a"
  EXPECT_EQ(repository.read(*result.snapshot),
            (Files{{result.roots[0].short_hex() + "/one", kOne.at("a/one")}}));
}

TEST(Recover, ASnapshotThatCannotBeReadIsRecovered) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kOne);
  const BlobId root = root_of(repository, id);
  repository.flip_byte({ObjectKind::kSnapshot, id.hex()}, 30);
  EXPECT_THAT(recover(repository).roots, ElementsAre(root));
}

}  // namespace
}  // namespace salvor
