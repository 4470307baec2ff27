// Plays out every crash of the commands that remove things: whatever the machine dies at, every
// snapshot restores, and running the command again ends what was begun.
#include <algorithm>

#include <gtest/gtest.h>

#include "engine/maintenance/checker.h"
#include "engine/maintenance/pruner.h"
#include "engine/maintenance/repair.h"
#include "support/crash_play.h"

namespace salvor {
namespace {

using test::numbered;

class MaintenanceCrashes : public test::CrashPlay {
 protected:
  void prune(Repository& repository, const std::function<void()>& confirm = {}) {
    PruneOptions options;
    options.limits.max_unused = {MaxUnused::Kind::kBytes, 0, 0};
    options.confirm_lock = confirm;
    Pruner pruner(*context_, repository, options);
    (void)pruner.plan();
    (void)pruner.execute();
  }
};

TEST_F(MaintenanceCrashes, APruneLeavesEverySnapshotWholeAndIsFinishedByTheNext) {
  const SnapshotId first = repository_.backup(numbered(0, 20));
  repository_.backup(numbered(5, 25));
  repository_.backup(numbered(8, 30));
  recording_.remove(*context_, snapshot_object(first));
  size_t blobs = 0;
  play(
      [&](Repository& repository) {
        prune(repository);
        repository.load_index(*context_);
        blobs = repository.index().blob_count();
      },
      [&](const Crash&, Repository& repository) {
        expect_whole(repository);
        prune(repository);
        expect_whole(repository);
        EXPECT_EQ(repository.index().blob_count(), blobs);
      });
}

TEST_F(MaintenanceCrashes, NothingIsRemovedBeforeWhatReplacesItIsDurable) {
  const SnapshotId first = repository_.backup(numbered(0, 20));
  repository_.backup(numbered(5, 25));
  recording_.remove(*context_, snapshot_object(first));
  std::vector<ObjectName> old_index;
  for (const ObjectInfo& info : repository_.list(ObjectKind::kIndex)) {
    old_index.push_back({ObjectKind::kIndex, info.name});
  }
  std::vector<ObjectName> old_packs;
  for (const ObjectInfo& info : repository_.list(ObjectKind::kPack)) {
    old_packs.push_back({ObjectKind::kPack, info.name});
  }
  const auto any_gone = [](const std::map<ObjectName, ObjectBytes>& objects,
                           const std::vector<ObjectName>& names) {
    return std::any_of(names.begin(), names.end(),
                       [&](const ObjectName& name) { return !objects.contains(name); });
  };
  int confirmations = 0;
  play(
      [&](Repository& repository) {
        prune(repository, [&] { recording_.mark("confirmed " + std::to_string(++confirmations)); });
        recording_.mark("done");
      },
      [&](const Crash& crash, Repository& repository) {
        const auto objects = crash.objects();
        const bool index_gone = any_gone(objects, old_index);
        const bool packs_gone = any_gone(objects, old_packs);
        if (index_gone) {
          EXPECT_TRUE(crash.has_mark("confirmed 2"));  // the first comes before anything is written
          // A new index is there before the old one goes.
          EXPECT_TRUE(std::any_of(objects.begin(), objects.end(), [&](const auto& object) {
            return object.first.kind == ObjectKind::kIndex && crash.is_durable(object.first) &&
                   std::find(old_index.begin(), old_index.end(), object.first) == old_index.end();
          }));
        }
        if (packs_gone) {
          EXPECT_TRUE(crash.has_mark("confirmed 3"));
        }
        // Whatever an index lists is there.
        repository.load_index(*context_);
        for (const PackId& pack : repository.index().packs()) {
          EXPECT_TRUE(objects.contains(pack_object(pack)));
        }
      });
  EXPECT_EQ(confirmations, 3);
}

TEST_F(MaintenanceCrashes, ARepairOfTheIndexNeverLosesIt) {
  repository_.backup(numbered(0, 10));
  repository_.backup(numbered(5, 15));
  play(
      [&](Repository& repository) {
        EXPECT_TRUE(repair_index(*context_, repository, true, {}).changed());
      },
      [&](const Crash&, Repository& repository) {
        expect_whole(repository);
        (void)repair_index(*context_, repository, false, {});
        expect_whole(repository);
      });
}

TEST_F(MaintenanceCrashes, ARepairOfPacksKeepsWhatIsSound) {
  const SnapshotId first = repository_.backup(numbered(0, 10));
  repository_.backup(numbered(20, 30));
  repository_.repository().load_index(*context_);
  const std::string content = numbered(0, 1).begin()->second.substr(0, test::kBlobSize);
  const BlobLocation place =
      *repository_.repository().index().find({BlobType::kData, BlobId(sha256(as_bytes(content)))});
  repository_.flip_byte(pack_object(place.pack), place.blob.offset + 20);
  const std::vector<PackId> broken{place.pack};
  play(
      [&](Repository& repository) {
        EXPECT_EQ(repair_packs(*context_, repository, broken, {}).lost.size(), 1U);
      },
      [&](const Crash&, Repository& repository) {
        // Only what was damaged before is missing: the one file of the first snapshot.
        CheckOptions options;
        options.read = ReadAll{};
        const CheckReport report = Checker(*context_, repository, options).run();
        ASSERT_EQ(report.errors, 1U);
        EXPECT_EQ(report.findings[0].snapshots, std::vector<SnapshotId>{first});
        EXPECT_EQ(report.findings[0].file_count, 1U);
      });
}

}  // namespace
}  // namespace salvor
