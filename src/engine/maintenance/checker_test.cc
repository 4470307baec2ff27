#include "engine/maintenance/checker.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/index_codec.h"
#include "engine/reading/pack_reader.h"
#include "engine/reading/pack_table.h"
#include "storage/decorators/forwarding_storage.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

CheckReport check(SmallRepository& repository, ReadSubset read = ReadAll{}) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  CheckOptions options;
  options.read = read;
  return Checker(repository.context(), *fresh, options).run();
}

std::vector<FindingKind> kinds(const CheckReport& report) {
  std::vector<FindingKind> result;
  for (const Finding& finding : report.findings) {
    result.push_back(finding.kind);
  }
  return result;
}

std::vector<std::string> paths(const Finding& finding) {
  std::vector<std::string> result;
  for (const AffectedFile& file : finding.files) {
    result.push_back(file.path);
  }
  return result;
}

const Files kSomeFiles = {{"a/one", some_content(1, 2500)},
                          {"a/two", some_content(2, 700)},
                          {"b/c/three", some_content(3, 1200)},
                          {"empty", ""}};

// The pack that holds blobs of a type; a small repository has one of each for a backup.
PackId pack_of(SmallRepository& repository, BlobType type) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  PackId found;
  fresh->index().for_each([&](const PackId& pack, const PackedBlob& blob) {
    if (blob.handle.type == type) {
      found = pack;
    }
  });
  return found;
}

TEST(Checker, FindsNothingInASoundRepository) {
  for (const unsigned version : {1U, 2U}) {
    SmallRepository repository(version);
    repository.backup(kSomeFiles);
    repository.backup({{"a/one", some_content(4, 5000)}});
    const CheckReport report = check(repository);
    EXPECT_TRUE(report.ok());
    EXPECT_THAT(report.findings, IsEmpty());
    EXPECT_EQ(report.snapshots, 2U);
    EXPECT_EQ(report.packs_read, report.packs);
    EXPECT_EQ(report.trees, 6U);  // two roots, a twice, b, b/c
    EXPECT_EQ(report.bytes_read, repository.stored_bytes(ObjectKind::kPack));
  }
}

TEST(Checker, NamesTheFilesThatADamagedBlobHits) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(kSomeFiles);
  Files more = kSomeFiles;
  more["z"] = some_content(9, 10);
  const SnapshotId second = repository.backup(more);
  // The second blob of a/one.
  const std::string content = kSomeFiles.at("a/one").substr(test::kBlobSize, test::kBlobSize);
  repository.repository().load_index(repository.context());
  const BlobLocation location =
      *repository.repository().index().find({BlobType::kData, BlobId(sha256(as_bytes(content)))});
  repository.flip_byte(pack_object(location.pack), location.blob.offset + 20);

  EXPECT_TRUE(check(repository, ReadNothing{}).ok());  // only reading the data can tell
  const CheckReport report = check(repository);
  ASSERT_THAT(kinds(report), ElementsAre(FindingKind::kPackDamaged));
  const Finding& finding = report.findings[0];
  EXPECT_EQ(finding.object, "pack " + location.pack.hex());
  EXPECT_THAT(finding.what, HasSubstr(location.blob.handle.id.hex()));
  EXPECT_EQ(std::set(finding.snapshots.begin(), finding.snapshots.end()),
            (std::set{first, second}));
  EXPECT_THAT(paths(finding), ElementsAre("/a/one", "/a/one"));
  EXPECT_EQ(finding.file_count, 2U);
  EXPECT_THAT(finding.advice, HasSubstr("repair packs " + location.pack.hex()));
  EXPECT_THAT(report.broken_packs, ElementsAre(location.pack));
}

TEST(Checker, ADamagedTreeHitsItsDirectory) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kSomeFiles);
  repository.repository().load_index(repository.context());
  BlobReader reader(repository.repository());
  const Tree root = reader.load_tree(
      repository.context(), repository.repository().load_snapshot(repository.context(), id).tree);
  const BlobLocation location =
      *repository.repository().index().find({BlobType::kTree, *root.find("a")->subtree});
  repository.flip_byte(pack_object(location.pack), location.blob.offset + 20);
  const CheckReport report = check(repository, ReadNothing{});
  ASSERT_THAT(kinds(report), ElementsAre(FindingKind::kTreeUnreadable));
  EXPECT_EQ(report.findings[0].object, "tree " + location.blob.handle.id.hex());
  EXPECT_THAT(paths(report.findings[0]), ElementsAre("/a"));
  EXPECT_THAT(report.findings[0].snapshots, ElementsAre(id));
}

TEST(Checker, AMissingPackHitsEverythingInIt) {
  SmallRepository repository;
  repository.backup(kSomeFiles);
  const PackId pack = pack_of(repository, BlobType::kData);
  repository.storage().remove(repository.context(), pack_object(pack));
  const CheckReport report = check(repository, ReadNothing{});
  ASSERT_THAT(kinds(report), ElementsAre(FindingKind::kPackMissing));
  EXPECT_THAT(paths(report.findings[0]), ElementsAre("/a/one", "/a/two", "/b/c/three"));
  EXPECT_TRUE(report.suggest_repair_index);
}

TEST(Checker, ATruncatedPackHitsWhatIsCutOff) {
  SmallRepository repository;
  repository.backup(kSomeFiles);
  const PackId pack = pack_of(repository, BlobType::kData);
  repository.damage(pack_object(pack), [](Buffer& bytes) { bytes.resize(bytes.size() / 2); });
  const CheckReport report = check(repository);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.findings[0].kind, FindingKind::kPackSize);
  EXPECT_GE(report.findings[0].file_count, 1U);
  EXPECT_THAT(report.broken_packs, ElementsAre(pack));
}

TEST(Checker, ASecondCopyKeepsFilesWhole) {
  SmallRepository repository;
  repository.backup(kSomeFiles);
  // The same data again by a run that did not see the first one's index.
  const std::vector<ObjectInfo> index_files = repository.list(ObjectKind::kIndex);
  std::map<std::string, Buffer> hidden;
  for (const ObjectInfo& info : index_files) {
    const ObjectName name{ObjectKind::kIndex, info.name};
    hidden[info.name] = repository.storage().get(repository.context(), name);
    repository.storage().remove(repository.context(), name);
  }
  const PackId first = [&] {
    repository.backup(kSomeFiles);
    return pack_of(repository, BlobType::kData);
  }();
  for (const auto& [name, bytes] : hidden) {
    repository.storage().put(repository.context(), {ObjectKind::kIndex, name}, bytes.view());
  }
  EXPECT_TRUE(check(repository).ok());
  repository.flip_byte(pack_object(first), 20);
  const CheckReport report = check(repository);
  ASSERT_THAT(kinds(report), ElementsAre(FindingKind::kPackDamaged));
  EXPECT_THAT(report.findings[0].files, IsEmpty());
  EXPECT_THAT(report.findings[0].snapshots, IsEmpty());
}

TEST(Checker, AnUnreferencedPackIsOnlyANote) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(kSomeFiles);
  repository.storage().remove(repository.context(), snapshot_object(id));
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    repository.storage().remove(repository.context(), {ObjectKind::kIndex, info.name});
  }
  const CheckReport report = check(repository);
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(kinds(report),
              ElementsAre(FindingKind::kPackUnreferenced, FindingKind::kPackUnreferenced));
  EXPECT_TRUE(report.suggest_prune);
}

TEST(Checker, KeysAndLocksThatCannotBeReadAreNamed) {
  SmallRepository repository;
  repository.backup(kSomeFiles);
  const auto put = [&](ObjectKind kind, const std::string& bytes) {
    std::string name = to_hex(sha256(as_bytes(bytes)));
    repository.storage().put(repository.context(), {kind, name}, as_bytes(bytes));
    return name;
  };
  const std::string no_key = put(ObjectKind::kKey, "{}");
  const std::string no_lock = put(ObjectKind::kLock, "not sealed");
  const std::string other(64, 'a');
  repository.storage().put(repository.context(), {ObjectKind::kKey, other}, as_bytes("{}"));
  repository.storage().put(repository.context(), {ObjectKind::kLock, other},
                           ByteView());  // a crash's
  const CheckReport report = check(repository);
  std::set<std::string> told;
  for (const Finding& finding : report.findings) {
    told.insert(std::string(finding_kind_name(finding.kind)) + " " + finding.object);
  }
  EXPECT_EQ(told,
            (std::set<std::string>{"key-unreadable key " + no_key, "key-unreadable key " + other,
                                   "lock-unreadable lock " + no_lock}));
}

TEST(Checker, APackThatIsListedTwiceIsANoteAndATroubleWhenTheyDisagree) {
  SmallRepository repository;
  repository.backup(kSomeFiles);
  const PackId pack = pack_of(repository, BlobType::kData);
  const auto list = [&](size_t left_out) {
    const std::unique_ptr<Repository> fresh = repository.reopen();
    fresh->load_index(repository.context());
    const PackTable packs(fresh->index());
    std::vector<PackedBlob> blobs = packs.blobs(packs.find(pack).value());
    blobs.resize(blobs.size() - left_out);
    IndexEncoder encoder;
    encoder.add_pack(pack, blobs);
    fresh->save_document(repository.context(), ObjectKind::kIndex, as_bytes(encoder.finish()));
  };
  list(0);
  const CheckReport twice = check(repository);
  EXPECT_TRUE(twice.ok());
  EXPECT_TRUE(twice.suggest_repair_index);
  EXPECT_THAT(kinds(twice), ElementsAre(FindingKind::kPackTwice));
  list(1);
  const CheckReport conflict = check(repository);
  EXPECT_FALSE(conflict.ok());
  EXPECT_THAT(kinds(conflict), Contains(FindingKind::kIndexConflict));
  EXPECT_THAT(conflict.broken_packs, ElementsAre(pack));
}

TEST(Checker, InvalidNodesAreToldWithTheirDirectory) {
  for (const char* name : {"..", "x/y"}) {
    SmallRepository repository;
    WriteSession session(repository.context(), repository.repository(), {});
    Snapshot snapshot;
    {
      const std::unique_ptr<BlobWriter> writer = session.make_writer();
      TreeEncoder encoder;
      Node bad;
      bad.name = name;
      encoder.add(bad);
      const std::string inner = encoder.finish();
      Node directory;
      directory.name = "sub";
      directory.type = NodeType::kDir;
      directory.subtree = BlobId(sha256(as_bytes(inner)));
      encoder.add(directory);
      const std::string outer = encoder.finish();
      writer->add(BlobType::kTree, *directory.subtree, as_bytes(inner));
      snapshot.tree = BlobId(sha256(as_bytes(outer)));
      writer->add(BlobType::kTree, snapshot.tree, as_bytes(outer));
      writer->flush();
    }
    (void)session.commit(repository.context(), snapshot);
    const CheckReport report = check(repository);
    ASSERT_THAT(kinds(report), ElementsAre(FindingKind::kTreeInvalid)) << name;
    EXPECT_THAT(paths(report.findings[0]), ElementsAre("/sub"));
  }
}

TEST(Checker, PartsOfTheDataAddUpToAllOfIt) {
  SmallRepository repository;
  for (int i = 0; i < 10; ++i) {
    repository.backup({{"f", some_content(100 + i, 3000)}});
  }
  uint64_t read = 0;
  for (unsigned part = 1; part <= 3; ++part) {
    read += check(repository, ReadPart{part, 3}).packs_read;
  }
  EXPECT_EQ(read, 20U);
  EXPECT_EQ(check(repository, ReadPercent{50}).packs_read, 10U);
  EXPECT_EQ(check(repository, ReadPercent{0.1}).packs_read, 1U);
  EXPECT_EQ(check(repository, ReadBytes{uint64_t{1} << 40}).packs_read, 20U);
}

TEST(Checker, ATreeThatNoIndexListsHitsItsDirectory) {
  SmallRepository repository;
  Node lost;
  lost.name = "lost";
  lost.type = NodeType::kDir;
  lost.mode = go_mode::kDir | 0755;
  lost.subtree = BlobId(sha256(as_bytes(std::string_view("never stored"))));
  Snapshot snapshot;
  snapshot.tree = repository.store_tree({lost});
  const SnapshotId id = repository.save(snapshot).id;
  const CheckReport report = check(repository);
  ASSERT_THAT(kinds(report), ElementsAre(FindingKind::kTreeUnreadable));
  EXPECT_EQ(report.findings[0].object, "tree " + lost.subtree->hex());
  EXPECT_EQ(report.findings[0].what, "no index lists it");
  EXPECT_THAT(paths(report.findings[0]), ElementsAre("/lost"));
  EXPECT_THAT(report.findings[0].snapshots, ElementsAre(id));
}

TEST(Checker, OfChosenSnapshotsOnlyThePacksAreRead) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(kSomeFiles);
  const PackId pack = pack_of(repository, BlobType::kData);
  const SnapshotId second = repository.backup({{"other", some_content(4, 5000)}});
  repository.flip_byte(pack_object(pack), 40);
  for (const SnapshotId& chosen : {first, second}) {
    const std::unique_ptr<Repository> fresh = repository.reopen();
    CheckOptions options;
    options.read = ReadAll{};
    options.snapshots = {chosen};
    const CheckReport report = Checker(repository.context(), *fresh, options).run();
    EXPECT_EQ(report.packs_read, 2U);
    EXPECT_EQ(report.ok(), chosen == second);
  }
}

TEST(Checker, CountsWhatThereIsNoRoomToList) {
  SmallRepository repository;
  constexpr size_t kMore = 5;
  for (size_t i = 0; i < kFindingLimit + kMore; ++i) {
    repository.storage().put(repository.context(), {ObjectKind::kLock, fmt::format("{:064x}", i)},
                             as_bytes("not sealed"));
  }
  const CheckReport report = check(repository, ReadNothing{});
  EXPECT_EQ(report.findings.size(), kFindingLimit);
  EXPECT_EQ(report.errors, kFindingLimit + kMore);
}

// A program without locks ends its backup right after the index files were listed.
class BackupMeanwhile final : public ForwardingStorage {
 public:
  using Objects = std::vector<std::pair<ObjectName, Buffer>>;
  BackupMeanwhile(Storage& base, Objects last) : ForwardingStorage(base), last_(std::move(last)) {}
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    base_->list(context, kind, on_object);
    if (kind == ObjectKind::kIndex) {
      for (const auto& [object, bytes] : std::exchange(last_, {})) {
        base_->put(context, object, bytes.view());
      }
    }
  }

 private:
  Objects last_;
};

TEST(Checker, WhatIsBackedUpMeanwhileIsNoDamage) {
  SmallRepository repository;
  repository.backup(kSomeFiles);
  const std::string before = repository.list(ObjectKind::kIndex).front().name;
  std::vector<ObjectName> objects;
  const SnapshotId snapshot = repository.backup({{"new", some_content(9, 3000)}});
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    if (info.name != before) {
      objects.push_back({ObjectKind::kIndex, info.name});
    }
  }
  objects.push_back(snapshot_object(snapshot));
  BackupMeanwhile::Objects last;
  for (const ObjectName& object : objects) {
    last.emplace_back(object, repository.storage().get(repository.context(), object));
    repository.storage().remove(repository.context(), object);
  }

  const std::unique_ptr<Repository> opened =
      Repository::open(repository.context(),
                       std::make_unique<BackupMeanwhile>(repository.storage(), std::move(last)),
                       Secret(test::kTestPassword));
  CheckOptions options;
  options.read = ReadAll{};
  const CheckReport report = Checker(repository.context(), *opened, options).run();
  EXPECT_EQ(repository.list(ObjectKind::kIndex).size(), 2U) << "it has appeared";
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(kinds(report), ::testing::Each(FindingKind::kPackUnreferenced));
  EXPECT_TRUE(check(repository).ok());
}

TEST(Checker, ReadSubsetsAreRestics) {
  EXPECT_EQ(std::get<ReadPart>(parse_read_subset("2/5")).parts, 5U);
  EXPECT_EQ(std::get<ReadPercent>(parse_read_subset("2.5%")).percent, 2.5);
  EXPECT_EQ(std::get<ReadBytes>(parse_read_subset("10M")).bytes, 10U << 20);
  for (const char* bad : {"0/5", "6/5", "1/257", "1/", "/2", "0%", "101%", "x", "", "0", "1/2/3"}) {
    EXPECT_THROW((void)parse_read_subset(bad), Error) << bad;
  }
}

// Flips every byte region of a small repository: the check always finds it, names the object, and
// whatever it does not call hit still reads.
class CheckerFlips : public ::testing::TestWithParam<ObjectKind> {};

TEST_P(CheckerFlips, AreAlwaysFoundAndNamed) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(kSomeFiles);
  const Files other = {{"a/one", some_content(1, 2500)}, {"q", some_content(5, 1500)}};
  const SnapshotId second = repository.backup(other);
  // A second key keeps the repository open while the first one's file is damaged.
  const std::string key = repository.repository().key_id().hex();
  for (const ObjectInfo& info : repository.list(GetParam())) {
    const ObjectName object{GetParam(), info.name};
    const size_t step = std::max<size_t>(1, info.size_bytes / 60);
    for (size_t at = 0; at < info.size_bytes; at += step) {
      SCOPED_TRACE(object.display() + " byte " + std::to_string(at));
      repository.flip_byte(object, at);
      CheckOptions options;
      options.read = ReadAll{};
      const CheckReport report =
          Checker(repository.context(), repository.repository(), options).run();
      EXPECT_FALSE(report.ok());
      EXPECT_TRUE(std::any_of(report.findings.begin(), report.findings.end(),
                              [&](const Finding& f) { return f.object.ends_with(info.name); }));
      // Snapshots that are not told as hit are whole.
      if (GetParam() == ObjectKind::kPack) {
        for (const auto& [id, files] : {std::pair{first, kSomeFiles}, {second, other}}) {
          const bool hit =
              std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& f) {
                return std::find(f.snapshots.begin(), f.snapshots.end(), id) != f.snapshots.end();
              });
          if (!hit) {
            EXPECT_EQ(repository.read(id), files);
          } else {
            EXPECT_ANY_THROW((void)repository.read(id));
          }
        }
      }
      repository.flip_byte(object, at);  // flipped twice is whole again
    }
  }
  EXPECT_TRUE(check(repository).ok());
}

INSTANTIATE_TEST_SUITE_P(Kinds, CheckerFlips,
                         ::testing::Values(ObjectKind::kPack, ObjectKind::kIndex,
                                           ObjectKind::kSnapshot, ObjectKind::kKey),
                         [](const auto& kind) {
                           return std::string(object_kind_name(kind.param));
                         });

}  // namespace
}  // namespace salvor
