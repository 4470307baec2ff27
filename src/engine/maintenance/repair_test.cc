#include "engine/maintenance/repair.h"

#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/maintenance/checker.h"
#include "engine/maintenance/migrate.h"
#include "engine/maintenance/pruner.h"
#include "storage/decorators/fault_storage.h"
#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Files kFiles = {{"a/one", some_content(1, 2500)},
                      {"a/two", some_content(2, 700)},
                      {"b/c/three", some_content(3, 1200)},
                      {"empty", ""}};

CheckReport check(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  CheckOptions options;
  options.read = ReadAll{};
  return Checker(repository.context(), *fresh, options).run();
}

IndexRepair repair_index(SmallRepository& repository, bool read_all = false) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  return salvor::repair_index(repository.context(), *fresh, read_all, {});
}

std::vector<SnapshotRepair> repair_snapshots(SmallRepository& repository, bool forget,
                                             bool dry_run = false) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  return salvor::repair_snapshots(repository.context(), *fresh,
                                  fresh->load_snapshots(repository.context()),
                                  {.repair = {}, .dry_run = dry_run, .forget = forget});
}

BlobLocation locate(SmallRepository& repository, BlobType type, std::string_view content) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  return *fresh->index().find({type, BlobId(sha256(as_bytes(content)))});
}

TEST(RepairIndex, MakesOneFromNothing) {
  for (const bool read_all : {false, true}) {
    SmallRepository repository;
    const SnapshotId id = repository.backup(kFiles);
    for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
      repository.storage().remove(repository.context(), {ObjectKind::kIndex, info.name});
    }
    const IndexRepair report = repair_index(repository, read_all);
    EXPECT_EQ(report.added.size(), 2U);
    EXPECT_TRUE(check(repository).ok());
    EXPECT_EQ(repository.read(id), kFiles);
  }
}

TEST(RepairIndex, ReplacesADamagedFile) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(kFiles);
  const std::string damaged = repository.list(ObjectKind::kIndex)[0].name;
  const SnapshotId second = repository.backup({{"x", some_content(7, 1500)}});
  repository.flip_byte({ObjectKind::kIndex, damaged}, 50);
  EXPECT_FALSE(check(repository).ok());
  const IndexRepair report = repair_index(repository);
  EXPECT_THAT(report.unreadable_files, ElementsAre(*IndexId::parse(damaged)));
  EXPECT_TRUE(check(repository).ok());
  EXPECT_EQ(repository.read(first), kFiles);
  EXPECT_EQ(repository.read(second).size(), 1U);
}

TEST(RepairIndex, TakesOutWhatIsGone) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(kFiles);
  const SnapshotId second = repository.backup({{"x", some_content(7, 1500)}});
  const PackId lost =
      locate(repository, BlobType::kData, some_content(7, 1500).substr(0, 1000)).pack;
  repository.storage().remove(repository.context(), pack_object(lost));
  EXPECT_THAT(repair_index(repository).missing, ElementsAre(lost));
  EXPECT_EQ(repository.read(first), kFiles);
  EXPECT_ANY_THROW((void)repository.read(second));
}

TEST(RepairIndex, LeavesARightIndexAlone) {
  SmallRepository repository;
  repository.backup(kFiles);
  const std::string before = repository.list(ObjectKind::kIndex)[0].name;
  EXPECT_FALSE(repair_index(repository).changed());
  EXPECT_EQ(repository.list(ObjectKind::kIndex)[0].name, before);
}

TEST(RepairIndex, OldFilesThatCannotBeRemovedAreToldAndGoTheNextTime) {
  auto way = std::make_unique<FaultStorage>(make_memory_storage());
  FaultStorage& faults = *way;
  SmallRepository repository(2, std::move(way));
  const SnapshotId first = repository.backup(kFiles);
  repository.backup({{"x", some_content(7, 1500)}});
  const PackId lost =
      locate(repository, BlobType::kData, some_content(7, 1500).substr(0, 1000)).pack;
  repository.storage().remove(repository.context(), pack_object(lost));
  faults.add({.call = StorageCall::kRemove,
              .kind = ObjectKind::kIndex,
              .count = Fault::kForever,
              .code = ErrorCode::kPermission});
  const Error error = test::error_of([&] { (void)repair_index(repository); });
  EXPECT_EQ(error.code(), ErrorCode::kFailed);
  EXPECT_THAT(error.hint(), HasSubstr("nothing is lost"));
  EXPECT_EQ(repository.read(first), kFiles);
  faults.clear();
  EXPECT_THAT(repair_index(repository).missing, ElementsAre(lost));
  EXPECT_FALSE(repair_index(repository).changed());
  EXPECT_EQ(repository.read(first), kFiles);
}

TEST(RepairIndex, RemovesNothingWithoutItsLock) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kFiles);
  RepairOptions options;
  options.confirm_lock = [] { throw Error(ErrorCode::kLocked, "lost"); };
  const std::unique_ptr<Repository> fresh = repository.reopen();
  EXPECT_THROW((void)salvor::repair_index(repository.context(), *fresh, true, options), Error);
  EXPECT_EQ(repository.read(id), kFiles);
}

// Whoever took the lock may have removed packs that the new index would list.
TEST(RepairIndex, StoresNothingWithoutItsLock) {
  SmallRepository repository;
  repository.backup(kFiles);
  const std::string before = repository.list(ObjectKind::kIndex)[0].name;
  RepairOptions options;
  options.write.confirm_lock = [](const Context&) { throw Error(ErrorCode::kLocked, "lost"); };
  const std::unique_ptr<Repository> fresh = repository.reopen();
  EXPECT_THROW((void)salvor::repair_index(repository.context(), *fresh, true, options), Error);
  ASSERT_THAT(repository.list(ObjectKind::kIndex), SizeIs(1));
  EXPECT_EQ(repository.list(ObjectKind::kIndex)[0].name, before);
}

TEST(RepairPacks, SavesWhatIsSoundAndHealsWithTheNextBackup) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kFiles);
  const BlobLocation place =
      locate(repository, BlobType::kData, kFiles.at("a/one").substr(1000, 1000));
  repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const CheckReport before = check(repository);
  ASSERT_THAT(before.broken_packs, ElementsAre(place.pack));

  const std::unique_ptr<Repository> fresh = repository.reopen();
  const PackRepair report = repair_packs(repository.context(), *fresh, before.broken_packs, {});
  EXPECT_EQ(report.blobs_saved, 5U);
  EXPECT_THAT(report.lost, ElementsAre(place.blob.handle));
  EXPECT_EQ(report.packs_removed, 1U);
  EXPECT_FALSE(repository.storage().stat(repository.context(), pack_object(place.pack)));

  // The only finding now is the blob that is lost, with its file.
  const CheckReport between = check(repository);
  ASSERT_THAT(between.findings, SizeIs(1));
  EXPECT_EQ(between.findings[0].kind, FindingKind::kBlobMissing);
  EXPECT_EQ(between.findings[0].files.at(0).path, "/a/one");

  repository.backup(kFiles);  // the file still exists
  EXPECT_TRUE(check(repository).ok());
  EXPECT_EQ(repository.read(id), kFiles);
}

TEST(RepairPacks, SavesTheBeginningOfATruncatedPack) {
  SmallRepository repository;
  repository.backup(kFiles);
  const PackId pack = locate(repository, BlobType::kData, kFiles.at("a/two")).pack;
  repository.damage(pack_object(pack), [](Buffer& bytes) { bytes.resize(bytes.size() * 2 / 3); });
  EXPECT_THAT(repair_index(repository).unreadable_packs, ElementsAre(pack));
  const std::unique_ptr<Repository> fresh = repository.reopen();
  const PackRepair report =
      repair_packs(repository.context(), *fresh, std::vector<PackId>{pack}, {});
  EXPECT_GE(report.blobs_saved, 2U);
  EXPECT_EQ(report.blobs_saved + report.lost.size(), 6U);
  repository.backup(kFiles);
  EXPECT_TRUE(check(repository).ok());
}

TEST(RepairPacks, WhatNoIndexListsIsTakenFromThePacksHeader) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kFiles);
  const PackId pack = locate(repository, BlobType::kData, kFiles.at("a/two")).pack;
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    repository.storage().remove(repository.context(), {ObjectKind::kIndex, info.name});
  }
  const std::unique_ptr<Repository> fresh = repository.reopen();
  const PackRepair report =
      repair_packs(repository.context(), *fresh, std::vector<PackId>{pack}, {});
  EXPECT_EQ(report.blobs_saved, 6U);
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_FALSE(repository.storage().stat(repository.context(), pack_object(pack)));
  (void)repair_index(repository);  // for the trees
  EXPECT_TRUE(check(repository).ok());
  EXPECT_EQ(repository.read(id), kFiles);
}

TEST(RepairPacks, RefusesAPackThatDoesNotExist) {
  SmallRepository repository;
  repository.backup(kFiles);
  const std::unique_ptr<Repository> fresh = repository.reopen();
  EXPECT_THROW((void)repair_packs(repository.context(), *fresh, std::vector<PackId>{PackId()}, {}),
               Error);
}

TEST(RepairSnapshots, TakeOutWhatIsLostAndKeepTheRest) {
  for (const bool forget : {false, true}) {
    SmallRepository repository;
    const SnapshotId id = repository.backup(kFiles);
    const SnapshotId untouched = repository.backup({{"x", some_content(7, 1500)}});
    const BlobLocation place =
        locate(repository, BlobType::kData, kFiles.at("a/one").substr(1000, 1000));
    repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);
    const std::unique_ptr<Repository> fresh = repository.reopen();
    (void)repair_packs(repository.context(), *fresh, std::vector<PackId>{place.pack}, {});

    EXPECT_FALSE(repair_snapshots(repository, forget, true)[0].new_id);  // a dry run
    const std::vector<SnapshotRepair> reports = repair_snapshots(repository, forget);
    ASSERT_THAT(reports, SizeIs(2));
    EXPECT_THAT(reports[0].changes, ElementsAre("/a/one: removed missing content"));
    EXPECT_THAT(reports[1].changes, IsEmpty());
    EXPECT_FALSE(reports[1].new_id);
    EXPECT_EQ(repository.read(untouched).size(), 1U);

    Files expected = kFiles;
    expected["a/one"].erase(1000, 1000);
    ASSERT_TRUE(reports[0].new_id);
    EXPECT_EQ(repository.read(*reports[0].new_id), expected);
    const Snapshot snapshot =
        repository.repository().load_snapshot(repository.context(), *reports[0].new_id);
    EXPECT_EQ(snapshot.original, id);
    EXPECT_EQ(snapshot.tags,
              forget ? std::vector<std::string>{} : std::vector<std::string>{"repaired"});
    EXPECT_EQ(repository.storage().stat(repository.context(), snapshot_object(id)).has_value(),
              !forget);
    EXPECT_EQ(check(repository).ok(), forget);
  }
}

TEST(RepairSnapshots, ALostDirectoryBecomesEmptyInEverySnapshot) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(kFiles);
  Files more = kFiles;
  more["z"] = "z";
  repository.backup(more);
  repository.repository().load_index(repository.context());
  BlobReader reader(repository.repository());
  const Tree root =
      reader.load_tree(repository.context(),
                       repository.repository().load_snapshot(repository.context(), first).tree);
  const BlobLocation place =
      *repository.repository().index().find({BlobType::kTree, *root.find("a")->subtree});
  repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const std::vector<SnapshotRepair> reports = repair_snapshots(repository, true);
  for (const SnapshotRepair& report : reports) {
    EXPECT_THAT(report.changes, ElementsAre(HasSubstr("/a: ")));
    ASSERT_TRUE(report.new_id);
    const Files left = repository.read(*report.new_id);
    EXPECT_FALSE(left.contains("a/one"));
    EXPECT_EQ(left.at("b/c/three"), kFiles.at("b/c/three"));
  }
}

// Trees that no tool should write, as they are stored: what check says, and what repair keeps.
TEST(RepairSnapshots, KeepWhatCanBeKeptOfInvalidTrees) {
  const std::string content = "some content";
  const std::string id = BlobId(sha256(as_bytes(content))).hex();
  const std::string zeros(64, '0');
  const auto file = [](std::string_view name, std::string_view ids, size_t size = 12) {
    return fmt::format(R"({{"name":"{}","type":"file","mode":420,"size":{},"content":{}}})", name,
                       size, ids);
  };
  const std::string list = R"([")" + id + R"("])";
  const std::string good = file("good", list);
  for (const auto& [nodes, trouble, kept] :
       std::vector<std::tuple<std::string, std::string, std::set<std::string>>>{
           {file("..", list) + "," + good, "\"..\" is not possible", {"good"}},
           {file("a/b", list) + "," + good, "\"a/b\" is not possible", {"good"}},
           {good + "," + file("a", list), "not in order", {"a", "good"}},
           {good + "," + good, "a name twice", {"good"}},
           {file("a", "null") + "," + good, "no list of content", {"a", "good"}},
           {file("a", R"([")" + zeros + R"("])") + "," + good,
            "content id of zeros",
            {"a", "good"}},
           {good + R"(,{"name":"sub","type":"dir","mode":2147484141})",
            "no subtree",
            {"good", "sub"}},
           {good + R"(,{"name":"x","type":"door","mode":420})", "invalid type \"door\"", {"good"}},
           {file("a", list, 7) + "," + good, "", {"a", "good"}},
       }) {
    SmallRepository repository;
    repository.store(BlobType::kData, content);
    Snapshot snapshot;
    snapshot.tree = repository.store(BlobType::kTree, R"({"nodes":[)" + nodes + "]}\n");
    snapshot.time = {1700000000, 0, 0};
    snapshot.paths = {"/data"};
    const SnapshotId bad = repository.save(snapshot).id;
    const CheckReport before = check(repository);
    if (trouble.empty()) {
      EXPECT_TRUE(before.ok()) << nodes;
    } else {
      ASSERT_THAT(before.findings, SizeIs(1)) << nodes;
      EXPECT_THAT(before.findings[0].what, HasSubstr(trouble)) << nodes;
    }
    const std::vector<SnapshotRepair> repairs = repair_snapshots(repository, true);
    ASSERT_THAT(repairs, SizeIs(1)) << nodes;
    EXPECT_TRUE(check(repository).ok()) << nodes;
    const std::vector<ObjectInfo> snapshots = repository.list(ObjectKind::kSnapshot);
    ASSERT_THAT(snapshots, SizeIs(1)) << nodes;
    EXPECT_NE(snapshots[0].name, bad.hex()) << nodes;
    const Files after = repository.read(*SnapshotId::parse(snapshots[0].name));
    std::set<std::string> names;
    for (const auto& [name, text] : after) {
      names.insert(name);
    }
    std::set<std::string> files = kept;
    files.erase("sub");  // an empty directory, which holds no file
    EXPECT_EQ(names, files) << nodes;
    EXPECT_EQ(after.at("good"), content);
  }
}

TEST(RepairSnapshots, AreNotRemovedUnderALockThatWasLostMeanwhile) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kFiles);
  const BlobLocation place =
      locate(repository, BlobType::kData, kFiles.at("a/one").substr(1000, 1000));
  repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const std::unique_ptr<Repository> fresh = repository.reopen();
  (void)repair_packs(repository.context(), *fresh, std::vector<PackId>{place.pack}, {});
  fresh->load_index(repository.context());
  RepairOptions options;
  options.confirm_lock = [&] {
    if (repository.list(ObjectKind::kSnapshot).size() > 1) {  // the new one has been stored
      throw Error(ErrorCode::kLocked, "lost");
    }
  };
  EXPECT_THROW((void)salvor::repair_snapshots(repository.context(), *fresh,
                                              fresh->load_snapshots(repository.context()),
                                              {.repair = options, .forget = true}),
               Error);
  EXPECT_TRUE(repository.storage().stat(repository.context(), snapshot_object(id)));
}

TEST(RepairSnapshots, ALostRootNeedsForgetToGo) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kFiles);
  const BlobId root = repository.repository().load_snapshot(repository.context(), id).tree;
  repository.repository().load_index(repository.context());
  const BlobLocation place = *repository.repository().index().find({BlobType::kTree, root});
  repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  EXPECT_TRUE(repair_snapshots(repository, false)[0].root_lost);
  EXPECT_THAT(repository.list(ObjectKind::kSnapshot), SizeIs(1));
  EXPECT_TRUE(repair_snapshots(repository, true)[0].removed);
  EXPECT_THAT(repository.list(ObjectKind::kSnapshot), IsEmpty());
}

TEST(Migrate, Version2StartsToCompress) {
  SmallRepository repository(1);
  const SnapshotId id = repository.backup(kFiles);
  ASSERT_EQ(list_migrations(repository.repository())[0].obstacle, "");
  upgrade_to_version_2(repository.context(), repository.repository(), {});
  EXPECT_NE(list_migrations(*repository.reopen())[0].obstacle, "");
  EXPECT_EQ(repository.reopen()->config().version, 2U);
  EXPECT_EQ(repository.read(id), kFiles);
  EXPECT_TRUE(check(repository).ok());
}

}  // namespace
}  // namespace salvor
