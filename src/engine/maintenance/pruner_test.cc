#include "engine/maintenance/pruner.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/index_codec.h"
#include "engine/maintenance/checker.h"
#include "engine/maintenance/repair.h"
#include "engine/reading/pack_table.h"
#include "storage/decorators/fault_storage.h"
#include "storage/decorators/forwarding_storage.h"
#include "storage/local/local_storage.h"
#include "support/small_repository.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

using test::Files;
using test::SmallRepository;
using test::some_content;
using ::testing::HasSubstr;

PruneOptions everything() {
  PruneOptions options;
  options.limits.max_unused = {MaxUnused::Kind::kBytes, 0, 0};
  return options;
}

PruneResult prune(SmallRepository& repository, PruneOptions options = everything()) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  Pruner pruner(repository.context(), *fresh, std::move(options));
  (void)pruner.plan();
  return pruner.execute();
}

void expect_sound(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  CheckOptions options;
  options.read = ReadAll{};
  const CheckReport report = Checker(repository.context(), *fresh, options).run();
  for (const Finding& finding : report.findings) {
    ADD_FAILURE() << finding.object << ": " << finding.what;
  }
}

// Blobs that the index lists, copies counted.
size_t blobs(SmallRepository& repository) {
  const std::unique_ptr<Repository> fresh = repository.reopen();
  fresh->load_index(repository.context());
  return fresh->index().blob_count();
}

Files numbered(int from, int to) {
  Files files;
  for (int i = from; i < to; ++i) {
    files["dir/file" + std::to_string(i)] = some_content(1000 + static_cast<uint64_t>(i), 2500);
  }
  return files;
}

void forget(SmallRepository& repository, const SnapshotId& id) {
  repository.storage().remove(repository.context(), snapshot_object(id));
}

// A repository on disk with temporary files: one old enough to go, one not, one of somebody else.
class PrunerLeftovers : public testing::Test {
 protected:
  PrunerLeftovers() {
    repository_.backup(numbered(0, 5));
    for (const auto& [path, hours] : {std::pair{old_, 25}, {young_, 23}, {foreign_, 1000}}) {
      std::ofstream(path) << "half a pack";
      std::filesystem::last_write_time(
          path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(hours));
    }
  }
  [[nodiscard]] std::filesystem::path at(const char* end) const {
    return directory_ / "repository" / "data" / "aa" / (std::string(64, 'a') + end);
  }

  test::TempDirectory directory_{test::TempPlace::kMemory};
  const std::filesystem::path old_ = at("-tmp-1");
  const std::filesystem::path young_ = at("-tmp-2");
  const std::filesystem::path foreign_ = at("-tmp-3.orig");
  SmallRepository repository_{2, open_local_storage((directory_ / "repository").string())};
};

TEST_F(PrunerLeftovers, OnlyOldOnesGoAndAPlanAloneRemovesNone) {
  const RepositoryLock lock(repository_.context(), repository_.repository(), LockMode::kExclusive);
  const std::unique_ptr<Repository> fresh = repository_.reopen();
  Pruner pruner(repository_.context(), *fresh, everything());
  const PruneStatistics figures = pruner.plan().statistics;
  EXPECT_EQ(figures.leftovers.files, 1U);
  EXPECT_EQ(figures.leftovers.bytes, 11U);
  EXPECT_EQ(figures.pruned_bytes(), 0U);
  ASSERT_EQ(pruner.leftovers().size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(old_));
  const PruneResult result = pruner.execute();
  EXPECT_EQ(result.leftovers_removed, 1U);
  EXPECT_EQ(result.not_removed, 0U);
  EXPECT_FALSE(std::filesystem::exists(old_));
  EXPECT_TRUE(std::filesystem::exists(young_));
  EXPECT_TRUE(std::filesystem::exists(foreign_));
  expect_sound(repository_);
}

TEST_F(PrunerLeftovers, NoneGoesUnderALockThatWasLost) {
  const RepositoryLock lock(repository_.context(), repository_.repository(), LockMode::kExclusive);
  PruneOptions options = everything();
  options.confirm_lock = [] { throw Error(ErrorCode::kLocked, "lost"); };
  EXPECT_THROW(prune(repository_, options), Error);
  EXPECT_TRUE(std::filesystem::exists(old_));
}

TEST(Pruner, ADamagedSnapshotStopsItUnlessItIsAboutToGo) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 5));
  const SnapshotId second = repository.backup(numbered(5, 10));
  repository.flip_byte(snapshot_object(first), 40);
  const size_t before = blobs(repository);
  const Error error = test::error_of([&] { prune(repository); });
  EXPECT_EQ(error.code(), ErrorCode::kDamaged);
  EXPECT_THAT(error.hint(), HasSubstr("salvor forget " + first.hex()));
  EXPECT_EQ(blobs(repository), before);
  {
    PruneOptions options = everything();
    options.ignore_snapshots = {first};
    const std::unique_ptr<Repository> fresh = repository.reopen();
    Pruner pruner(repository.context(), *fresh, options);
    EXPECT_GT(pruner.plan().statistics.pruned_bytes(), 0U);
  }
  forget(repository, first);
  prune(repository);
  EXPECT_LT(blobs(repository), before);
  EXPECT_EQ(repository.read(second), numbered(5, 10));
}

TEST(Pruner, KeepsEveryByteThatASnapshotNeedsAndNothingElse) {
  for (const unsigned version : {1U, 2U}) {
    SmallRepository repository(version);
    const SnapshotId first = repository.backup(numbered(0, 20));
    const SnapshotId second = repository.backup(numbered(5, 25));
    forget(repository, first);
    prune(repository);
    EXPECT_EQ(repository.read(second), numbered(5, 25));
    expect_sound(repository);
    // 20 files of 3 blobs, two trees.
    EXPECT_EQ(blobs(repository), 62U);
    // A second prune finds nothing to do.
    const PruneResult again = prune(repository);
    EXPECT_EQ(again.packs_removed + again.packs_written + again.index_files_removed, 0U);
  }
}

TEST(Pruner, PlanningChangesNothing) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  repository.backup(numbered(5, 25));
  forget(repository, first);
  const auto state = [&] {
    std::set<std::string> names;
    for (const ObjectKind kind : {ObjectKind::kPack, ObjectKind::kIndex, ObjectKind::kSnapshot}) {
      for (const ObjectInfo& info : repository.list(kind)) {
        names.insert(info.name);
      }
    }
    return names;
  };
  const auto before = state();
  const std::unique_ptr<Repository> fresh = repository.reopen();
  Pruner pruner(repository.context(), *fresh, everything());
  const PruneStatistics& figures = pruner.plan().statistics;
  EXPECT_EQ(state(), before);
  EXPECT_EQ(figures.blobs.used, 62U);
  EXPECT_EQ(figures.blobs.unused, 17U);  // five files of 3 blobs, two trees
  EXPECT_GT(figures.pruned_bytes(), 5U * 500);
}

TEST(Pruner, ToleratesUnusedDataUpToTheLimit) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  repository.backup(numbered(1, 20));
  forget(repository, first);
  PruneOptions options;
  options.limits.repack_smaller_than = 1;  // no pack counts as small
  const auto fate_of_data = [&](MaxUnused limit) {
    options.limits.max_unused = limit;
    const std::unique_ptr<Repository> fresh = repository.reopen();
    Pruner pruner(repository.context(), *fresh, options);
    const PruneStatistics& figures = pruner.plan().statistics;
    EXPECT_EQ(figures.packs.remove, 1U);  // the first backup's trees
    EXPECT_EQ(figures.packs.keep + figures.packs.repack, 2U);
    return figures.packs.repack > 0 ? PackFate::kRepack : PackFate::kKeep;
  };
  // One file of twenty is waste in the data pack.
  EXPECT_EQ(fate_of_data({MaxUnused::Kind::kUnlimited}), PackFate::kKeep);
  EXPECT_EQ(fate_of_data({MaxUnused::Kind::kPercent, 10}), PackFate::kKeep);
  EXPECT_EQ(fate_of_data({MaxUnused::Kind::kPercent, 1}), PackFate::kRepack);
  EXPECT_EQ(fate_of_data({MaxUnused::Kind::kBytes, 0, 0}), PackFate::kRepack);
}

TEST(Pruner, AfterTheLastSnapshotNothingIsLeft) {
  SmallRepository repository;
  forget(repository, repository.backup(numbered(0, 3)));
  prune(repository);
  EXPECT_TRUE(repository.list(ObjectKind::kPack).empty());
  EXPECT_TRUE(repository.list(ObjectKind::kIndex).empty());
  expect_sound(repository);
  EXPECT_EQ(prune(repository).packs_removed, 0U) << "nor anything to do";
}

TEST(Pruner, RefusesWhenASnapshotOrTreeOrPackIsDamaged) {
  {
    SmallRepository repository;
    repository.backup(numbered(0, 3));
    const SnapshotId bad = repository.backup(numbered(3, 6));
    repository.flip_byte(snapshot_object(bad), 40);
    EXPECT_THROW(prune(repository), Error);
  }
  for (const BlobType type : {BlobType::kData, BlobType::kTree}) {
    SmallRepository repository;
    repository.backup(numbered(0, 3));
    repository.repository().load_index(repository.context());
    PackId pack;
    repository.repository().index().for_each([&](const PackId& id, const PackedBlob& blob) {
      pack = blob.handle.type == type ? id : pack;
    });
    repository.storage().remove(repository.context(), pack_object(pack));
    const auto packs = repository.list(ObjectKind::kPack).size();
    EXPECT_THROW(prune(repository), Error);
    EXPECT_EQ(repository.list(ObjectKind::kPack).size(), packs);
  }
}

TEST(Pruner, DamageFoundWhileRepackingRemovesNothing) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  repository.backup(numbered(5, 25));
  forget(repository, first);
  repository.repository().load_index(repository.context());
  const std::string content = numbered(5, 6).begin()->second.substr(0, test::kBlobSize);
  const BlobLocation place =
      *repository.repository().index().find({BlobType::kData, BlobId(sha256(as_bytes(content)))});
  repository.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const std::set<std::string> before = [&] {
    std::set<std::string> names;
    for (const ObjectInfo& info : repository.list(ObjectKind::kPack)) {
      names.insert(info.name);
    }
    return names;
  }();
  try {
    prune(repository);
    FAIL() << "damaged data was repacked";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDamaged);
    EXPECT_THAT(error.message(), HasSubstr(place.pack.hex()));
  }
  std::set<std::string> after;
  for (const ObjectInfo& info : repository.list(ObjectKind::kPack)) {
    after.insert(info.name);
  }
  EXPECT_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()));
}

// The nth read of a pack is changed on its way, and comes well the second time. False: there are
// not so many.
bool prune_misreading(SmallRepository& repository, const PruneOptions& options, uint64_t nth) {
  auto way = std::make_unique<FaultStorage>(borrow_storage(repository.storage()));
  FaultStorage& fault = *way;
  fault.add({.call = StorageCall::kGetRange,
             .kind = ObjectKind::kPack,
             .nth = nth,
             .effect = FaultEffect::kFlipBit});
  const auto far =
      Repository::open(repository.context(), std::move(way), Secret(test::kTestPassword));
  Pruner pruner(repository.context(), *far, options);
  (void)pruner.plan();
  (void)pruner.execute();
  return fault.faults_hit() > 0;
}

TEST(Pruner, AReadErrorOnTheWayIsNoDamage) {
  for (const unsigned version : {1U, 2U}) {
    bool hit = true;
    for (uint64_t nth = 1; hit; ++nth) {
      SmallRepository repository(version);
      const SnapshotId first = repository.backup(numbered(0, 20));
      const SnapshotId second = repository.backup(numbered(5, 25));
      forget(repository, first);
      hit = prune_misreading(repository, everything(), nth);
      EXPECT_TRUE(hit || nth > 2) << "nothing was read";
      EXPECT_EQ(repository.read(second), numbered(5, 25));
      expect_sound(repository);
      EXPECT_EQ(blobs(repository), 62U);
    }
  }
}

TEST(Pruner, RemovesPacksThatNoIndexLists) {
  SmallRepository repository;
  const SnapshotId id = repository.backup(numbered(0, 3));
  repository.storage().put(repository.context(), {ObjectKind::kPack, std::string(64, 'a')},
                           as_bytes("left over"));
  EXPECT_EQ(prune(repository).packs_removed, 1U);
  EXPECT_EQ(repository.read(id), numbered(0, 3));
}

TEST(Pruner, IgnoredSnapshotsCountAsGone) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  repository.backup(numbered(5, 25));
  PruneOptions options = everything();
  options.ignore_snapshots = {first};
  const std::unique_ptr<Repository> fresh = repository.reopen();
  Pruner pruner(repository.context(), *fresh, options);
  EXPECT_EQ(pruner.plan().statistics.blobs.unused, 17U);
}

// As another program does that has not seen the index.
SnapshotId store_again(SmallRepository& repository, const Files& files) {
  std::map<std::string, Buffer> hidden;
  for (const ObjectInfo& info : repository.list(ObjectKind::kIndex)) {
    const ObjectName name{ObjectKind::kIndex, info.name};
    hidden[info.name] = repository.storage().get(repository.context(), name);
    repository.storage().remove(repository.context(), name);
  }
  const SnapshotId stored = repository.backup(files);
  for (const auto& [name, bytes] : hidden) {
    repository.storage().put(repository.context(), {ObjectKind::kIndex, name}, bytes.view());
  }
  return stored;
}

TEST(Pruner, KeepsOneCopyOfDuplicates) {
  SmallRepository repository;
  repository.backup(numbered(0, 10));
  const SnapshotId second = store_again(repository, numbered(0, 12));
  EXPECT_EQ(blobs(repository), 32U + 38U);
  prune(repository);
  EXPECT_EQ(blobs(repository), 40U);  // 36 data blobs, two roots, two directories
  EXPECT_EQ(repository.read(second), numbered(0, 12));
  expect_sound(repository);
}

// A pack that the storage holds on to, whoever asks.
class HoldingStorage final : public ForwardingStorage {
 public:
  using ForwardingStorage::ForwardingStorage;
  std::optional<Retention> retention(const Context&, const ObjectName& object) override {
    return object == held ? std::optional(Retention{.until = until}) : std::nullopt;
  }
  const ObjectName held{ObjectKind::kPack, std::string(64, 'a')};
  const WallTime until = std::chrono::system_clock::now() + std::chrono::hours(5);
};

TEST(Pruner, APackThatNoIndexListsStaysWhileItIsLocked) {
  SmallRepository repository;
  repository.backup(numbered(0, 3));
  auto way = std::make_unique<HoldingStorage>(repository.storage());
  const HoldingStorage& holding = *way;
  repository.storage().put(repository.context(), holding.held, as_bytes("left over"));
  const auto locking =
      Repository::open(repository.context(), std::move(way), Secret(test::kTestPassword));
  Pruner pruner(repository.context(), *locking, everything());
  EXPECT_EQ(pruner.plan().statistics.packs.locked, 1U);
  EXPECT_EQ(pruner.locked().last, holding.until);
  EXPECT_EQ(pruner.execute().packs_removed, 0U);
  EXPECT_TRUE(repository.storage().stat(repository.context(), holding.held));
}

TEST(Pruner, OfTwoCopiesThatInAPackThatIsThereIsKept) {
  SmallRepository repository;
  repository.backup(numbered(0, 10));
  PackId lost;
  repository.repository().load_index(repository.context());
  repository.repository().index().for_each([&](const PackId& id, const PackedBlob& blob) {
    lost = blob.handle.type == BlobType::kData ? id : lost;
  });
  store_again(repository, numbered(0, 10));
  repository.storage().remove(repository.context(), pack_object(lost));
  prune(repository);
  EXPECT_EQ(blobs(repository), 32U);
  expect_sound(repository);
}

TEST(Pruner, RawTreesBecomeCompressedWhenAVersion1RepositoryWasUpgraded) {
  SmallRepository repository(1);
  const SnapshotId id = repository.backup(numbered(0, 5));
  RepositoryConfig config = repository.repository().config();
  config.version = 2;
  repository.repository().save_config(repository.context(), config);
  prune(repository);
  const auto raw = [&](BlobType type) {
    const std::unique_ptr<Repository> fresh = repository.reopen();
    fresh->load_index(repository.context());
    size_t count = 0;
    fresh->index().for_each([&](const PackId&, const PackedBlob& blob) {
      count += blob.handle.type == type && !blob.compressed() ? 1 : 0;
    });
    return count;
  };
  EXPECT_EQ(raw(BlobType::kTree), 0U);
  EXPECT_EQ(raw(BlobType::kData), 15U);
  PruneOptions options = everything();
  options.limits.repack_uncompressed = true;
  prune(repository, options);
  EXPECT_EQ(raw(BlobType::kData), 0U);
  EXPECT_EQ(repository.read(id), numbered(0, 5));
  expect_sound(repository);
}

TEST(Pruner, AReadErrorWhileCompressingIsNoDamage) {
  bool hit = true;
  for (uint64_t nth = 1; hit; ++nth) {
    SmallRepository repository(1);
    const SnapshotId id = repository.backup(numbered(0, 5));
    RepositoryConfig config = repository.repository().config();
    config.version = 2;
    repository.repository().save_config(repository.context(), config);
    PruneOptions options = everything();
    options.limits.repack_uncompressed = true;
    hit = prune_misreading(repository, options, nth);
    EXPECT_TRUE(hit || nth > 2) << "nothing was read";
    EXPECT_EQ(repository.read(id), numbered(0, 5));
    expect_sound(repository);
  }
}

TEST(Pruner, WithoutFreeSpaceTheOldIndexGoesFirst) {
  SmallRepository repository;
  forget(repository, repository.backup(numbered(0, 20)));
  const SnapshotId second = repository.backup(numbered(30, 40));
  PruneOptions options = everything();
  options.recover_no_free_space = true;
  EXPECT_EQ(prune(repository, options).packs_written, 0U);
  EXPECT_EQ(repository.read(second), numbered(30, 40));
  expect_sound(repository);
}

// A disk that gives nothing back, or a credential that may not delete.
TEST(Pruner, PacksStayWhileTheirOldIndexDoes) {
  for (const bool no_space : {false, true}) {
    auto storage = std::make_unique<FaultStorage>(make_memory_storage());
    FaultStorage& faults = *storage;
    SmallRepository repository(2, std::move(storage));
    forget(repository, repository.backup(numbered(0, 20)));
    const SnapshotId second = repository.backup(numbered(30, 40));
    const size_t packs = repository.list(ObjectKind::kPack).size();
    PruneOptions options = everything();
    options.recover_no_free_space = no_space;
    faults.add({.call = StorageCall::kRemove,
                .kind = ObjectKind::kIndex,
                .nth = no_space ? 2U : 1U,
                .count = Fault::kForever,
                .code = ErrorCode::kPermission});
    const Error error = test::error_of([&] { prune(repository, options); });
    EXPECT_THAT(error.message(), HasSubstr("old index files cannot be removed"));
    EXPECT_GE(repository.list(ObjectKind::kPack).size(), packs);
    faults.clear();
    if (no_space) {
      const std::unique_ptr<Repository> fresh = repository.reopen();
      (void)repair_index(repository.context(), *fresh, false, {});
    }
    EXPECT_EQ(repository.read(second), numbered(30, 40));
    prune(repository);
    EXPECT_EQ(repository.read(second), numbered(30, 40));
    expect_sound(repository);
  }
}

TEST(Pruner, CompressingNeedsVersion2) {
  SmallRepository repository(1);
  PruneOptions options = everything();
  options.limits.repository_version = 1;
  options.limits.repack_uncompressed = true;
  EXPECT_EQ(test::error_of([&] { prune(repository, options); }).code(), ErrorCode::kUsage);
}

// --- beside programs that honour no locks
// ----------------------------------------------------------

TEST(Pruner, StopsWhenASnapshotAppearsThatNeedsWhatIsAboutToGo) {
  SmallRepository repository;
  const Files old = numbered(0, 20);
  const SnapshotId first = repository.backup(old);
  const SnapshotId second = repository.backup(numbered(5, 25));
  const Snapshot snapshot = repository.repository().load_snapshot(repository.context(), first);
  forget(repository, first);
  for (const bool early : {true, false}) {
    const std::unique_ptr<Repository> fresh = repository.reopen();
    PruneOptions options = everything();
    SnapshotId revived;
    int confirmations = 0;
    // The other program's snapshot refers to data that it saw in the index before the prune.
    const auto revive = [&] {
      revived = repository.repository().save_snapshot(repository.context(), snapshot);
    };
    options.confirm_lock = [&] {
      if (++confirmations == 1 && !early) {
        revive();  // after the first look, before the repacking
      }
    };
    Pruner pruner(repository.context(), *fresh, options);
    (void)pruner.plan();
    if (early) {
      revive();
    }
    EXPECT_THROW(pruner.execute(), Error);
    EXPECT_EQ(repository.read(revived), old);
    EXPECT_EQ(repository.read(second), numbered(5, 25));
    forget(repository, revived);
  }
  prune(repository);
  expect_sound(repository);
}

TEST(Pruner, KeepsThePacksOfASnapshotThatAppearsAfterTheOldIndexWent) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  repository.backup(numbered(5, 25));
  const Snapshot snapshot = repository.repository().load_snapshot(repository.context(), first);
  forget(repository, first);
  const std::unique_ptr<Repository> fresh = repository.reopen();
  PruneOptions options = everything();
  SnapshotId revived;
  int confirmations = 0;
  options.confirm_lock = [&] {
    if (++confirmations == 2) {  // after the second look, right before the old index goes
      revived = repository.repository().save_snapshot(repository.context(), snapshot);
    }
  };
  Pruner pruner(repository.context(), *fresh, options);
  (void)pruner.plan();
  EXPECT_THROW(pruner.execute(), Error);
  EXPECT_EQ(confirmations, 2);
  const std::unique_ptr<Repository> again = repository.reopen();
  (void)repair_index(repository.context(), *again, false, {});
  EXPECT_EQ(repository.read(revived), numbered(0, 20));
  prune(repository);
  expect_sound(repository);
}

TEST(Pruner, StopsWhenAnotherProgramListsAPackThatIsAboutToGo) {
  SmallRepository repository;
  forget(repository, repository.backup(numbered(0, 20)));
  const SnapshotId second = repository.backup(numbered(30, 40));
  const std::unique_ptr<Repository> fresh = repository.reopen();
  Pruner pruner(repository.context(), *fresh, everything());
  (void)pruner.plan();
  // Its own index lists what it has read of the old one.
  const std::unique_ptr<Repository> other = repository.reopen();
  other->load_index(repository.context());
  const PackTable listed(other->index());
  IndexEncoder encoder;
  for (size_t i = 0; i < listed.size(); ++i) {
    encoder.add_pack(listed.id(i), listed.blobs(i));
  }
  other->save_document(repository.context(), ObjectKind::kIndex, as_bytes(encoder.finish()));
  const size_t packs = repository.list(ObjectKind::kPack).size();
  const Error error = test::error_of([&] { (void)pruner.execute(); });
  EXPECT_THAT(error.message(), HasSubstr("another program listed pack"));
  EXPECT_GE(repository.list(ObjectKind::kPack).size(), packs);
  prune(repository);
  EXPECT_EQ(repository.read(second), numbered(30, 40));
  expect_sound(repository);
}

TEST(Pruner, GoesOnBesideASnapshotThatNeedsOnlyWhatStays) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  repository.backup(numbered(5, 25));
  forget(repository, first);
  const std::unique_ptr<Repository> fresh = repository.reopen();
  Pruner pruner(repository.context(), *fresh, everything());
  (void)pruner.plan();
  const Files files = numbered(10, 30);
  const SnapshotId third = repository.backup(files);  // new packs, a new index file
  pruner.execute();
  EXPECT_EQ(repository.read(third), files);
  expect_sound(repository);
}

TEST(Pruner, RemovesNothingWithoutItsLock) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  const SnapshotId second = repository.backup(numbered(5, 25));
  forget(repository, first);
  const size_t packs = repository.list(ObjectKind::kPack).size();
  for (int allowed = 0; allowed < 3; ++allowed) {
    PruneOptions options = everything();
    int confirmed = 0;
    options.confirm_lock = [&] {
      if (confirmed++ == allowed) {
        throw Error(ErrorCode::kLocked, "lost");
      }
    };
    EXPECT_THROW(prune(repository, options), Error);
    EXPECT_GE(repository.list(ObjectKind::kPack).size(), packs);
    EXPECT_EQ(repository.read(second), numbered(5, 25));
  }
  // The interrupted runs have left duplicates and packs without index; the next one tidies up.
  prune(repository);
  expect_sound(repository);
  EXPECT_EQ(blobs(repository), 62U);
}

// Whoever took the lock may have removed packs that the new index would list.
TEST(Pruner, StoresNoIndexWithoutItsLock) {
  SmallRepository repository;
  const SnapshotId first = repository.backup(numbered(0, 20));
  const SnapshotId second = repository.backup(numbered(30, 40));
  const std::unique_ptr<Repository> fresh = repository.reopen();
  (void)repair_index(repository.context(), *fresh, true, {});  // one file for all
  forget(repository, first);
  ASSERT_EQ(repository.list(ObjectKind::kIndex).size(), 1U);
  PruneOptions options = everything();
  options.write.confirm_lock = [](const Context&) { throw Error(ErrorCode::kLocked, "lost"); };
  EXPECT_EQ(test::code_of([&] { prune(repository, options); }), ErrorCode::kLocked);
  EXPECT_EQ(repository.list(ObjectKind::kIndex).size(), 1U);
  EXPECT_EQ(repository.read(second), numbered(30, 40));
}

TEST(MaxUnused, IsResticsRule) {
  EXPECT_EQ(parse_max_unused("5%").allowed(950), 50U);
  EXPECT_EQ(parse_max_unused("10k").allowed(1), 10240U);
  EXPECT_EQ(parse_max_unused("unlimited").allowed(1), UINT64_MAX);
  EXPECT_EQ(parse_max_unused("0").allowed(1000), 0U);
  for (const char* bad : {"", "100%", "-1%", "x", "5 %x"}) {
    EXPECT_THROW((void)parse_max_unused(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace salvor
