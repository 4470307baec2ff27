// Plays out every crash of the commands that work on snapshots: forget, copy, tag, rewrite and
// migrate. Whatever the machine dies at, no snapshot is lost that was not to go, what is seen is
// whole, and running the command again ends what was begun.
#include <algorithm>

#include <gmock/gmock.h>

#include "engine/copies/replicator.h"
#include "engine/maintenance/migrate.h"
#include "engine/maintenance/rewriter.h"
#include "engine/snapshots/forget.h"
#include "engine/snapshots/snapshot_tags.h"
#include "support/crash_play.h"

namespace salvor {
namespace {

using test::Files;
using test::numbered;
using test::SmallRepository;
using ::testing::Contains;

class SnapshotCrashes : public test::CrashPlay {
 protected:
  using CrashPlay::CrashPlay;

  ForgetResult forget(Repository& repository, std::vector<SnapshotId> ids) {
    return remove_snapshots(*context_, repository, ids, [this] { recording_.mark("confirmed"); });
  }

  // Tags the snapshot, under a lock of its own as the command does.
  SnapshotId tag(Repository& repository, const StoredSnapshot& old) {
    const RepositoryLock lock(*context_, repository, LockMode::kExclusive);
    Snapshot changed = old.snapshot;
    EXPECT_TRUE(apply_tags(changed, {.set = {}, .add = {"new"}, .remove = {}}));
    return replace_snapshot(*context_, repository, lock, old, changed);
  }

  // Leaves out dir/file0.
  SnapshotId rewrite(Repository& repository, const StoredSnapshot& old, bool forget_old) {
    repository.load_index(*context_);
    RewriteOptions options;
    options.selection.excludes = PathPatterns(std::vector<std::string>{"file0"});
    options.forget = forget_old;
    return rewrite_snapshot(*context_, repository, old, options).new_id.value();
  }

  // Copies what `from` has and `to` lacks; returns how many snapshots.
  size_t copy(SmallRepository& from, Repository& to) {
    const std::unique_ptr<Repository> source = from.reopen();
    source->load_index(*context_);
    to.load_index(*context_);
    const std::vector<StoredSnapshot> there = to.load_snapshots(*context_);
    std::vector<StoredSnapshot> missing;
    for (const StoredSnapshot& snapshot : source->load_snapshots(*context_)) {
      if (find_copy(there, snapshot) == nullptr) {
        missing.push_back(snapshot);
      }
    }
    CopyOptions options;
    options.write.pack_size_bytes = 20000;  // several packs
    options.on_saved = [this](const StoredSnapshot& snapshot, const SnapshotId&) {
      recording_.mark("saved " + snapshot.id.hex());
    };
    Replicator(*context_, *source, to, options).copy(missing);
    return missing.size();
  }
};

TEST_F(SnapshotCrashes, AForgetTakesNothingButWhatWasNamed) {
  const SnapshotId first = repository_.backup(numbered(0, 5), 1700000000);
  const SnapshotId second = repository_.backup(numbered(3, 9), 1700000001);
  const SnapshotId kept = repository_.backup(numbered(5, 12), 1700000002);
  const size_t packs = repository_.list(ObjectKind::kPack).size();
  const size_t indexes = repository_.list(ObjectKind::kIndex).size();
  play([&](Repository& repository) { (void)forget(repository, {first, second}); },
       [&](const Crash& crash, Repository& repository) {
         const std::vector<SnapshotId> left = snapshots(repository);
         EXPECT_THAT(left, Contains(kept));
         EXPECT_TRUE(left.size() == 3 || crash.has_mark("confirmed"));
         expect_whole(repository);
         // Data is a prune's business.
         EXPECT_EQ(repository.storage().list_all(*context_, ObjectKind::kPack).size(), packs);
         EXPECT_EQ(repository.storage().list_all(*context_, ObjectKind::kIndex).size(), indexes);
         // Again, by the policy: what was begun ends.
         ForgetRules rules;
         rules.policy.last = 1;
         const ForgetPlan plan =
             plan_forget(repository.load_snapshots(*context_), rules, (*context_).clock.now());
         EXPECT_EQ(forget(repository, plan.remove).not_removed, 0U);
         EXPECT_EQ(snapshots(repository), std::vector<SnapshotId>{kept});
         expect_whole(repository);
       });
}

TEST_F(SnapshotCrashes, ACopyShowsOnlyWhatIsWholeAndIsFinishedByTheNext) {
  SmallRepository source;
  source.backup(numbered(0, 20), 1700000000);
  source.backup(numbered(10, 30), 1700000001);
  const SnapshotId own = repository_.backup(numbered(15, 18), 1600000000);
  const std::vector<StoredSnapshot> originals = source.repository().load_snapshots(*context_);
  size_t blobs = 0;
  play(
      [&](Repository& repository) {
        EXPECT_EQ(copy(source, repository), 2U);
        repository.load_index(*context_);
        blobs = repository.index().blob_count();
      },
      [&](const Crash& crash, Repository& repository) {
        const std::vector<StoredSnapshot> there = repository.load_snapshots(*context_);
        EXPECT_THAT(snapshots(repository), Contains(own));
        for (const StoredSnapshot& original : originals) {
          EXPECT_TRUE(find_copy(there, original) != nullptr ||
                      !crash.has_mark("saved " + original.id.hex()));
        }
        expect_whole(repository);
        (void)copy(source, repository);
        EXPECT_EQ(snapshots(repository).size(), 3U);
        expect_whole(repository);
        repository.load_index(*context_);
        EXPECT_EQ(repository.index().blob_count(), blobs);
        EXPECT_EQ(copy(source, repository), 0U);
      });
}

TEST_F(SnapshotCrashes, WhatACopyHasIndexedIsNotCopiedAgain) {
  SmallRepository source;
  source.backup(numbered(0, 20));
  recording_.restart(*context_);
  EXPECT_EQ(copy(source, *repository_.reopen()), 1U);
  bool tested = false;
  for (const Crash& crash : recording_.crashes()) {
    const auto objects = crash.objects();
    const auto count = [](const auto& all, ObjectKind kind) {
      return std::count_if(all.begin(), all.end(),
                           [kind](const auto& object) { return object.first.kind == kind; });
    };
    if (count(objects, ObjectKind::kIndex) == 0) {
      continue;
    }
    tested = true;
    const std::unique_ptr<Storage> left = make_memory_storage();
    crash.materialise(*context_, *left);
    (void)copy(source,
               *Repository::open(*context_, borrow_storage(*left), Secret(test::kTestPassword)));
    EXPECT_EQ(left->list_all(*context_, ObjectKind::kPack).size(),
              static_cast<size_t>(count(objects, ObjectKind::kPack)))
        << crash.label();
  }
  EXPECT_TRUE(tested);
}

TEST_F(SnapshotCrashes, ATaggedSnapshotIsThereInOldOrNewForm) {
  const StoredSnapshot old = stored(repository_.backup(numbered(0, 5)));
  SnapshotId tagged;
  play([&](Repository& repository) { tagged = tag(repository, old); },
       [&](const Crash& crash, Repository& repository) {
         const std::vector<SnapshotId> left = snapshots(repository);
         EXPECT_TRUE(crash.is_durable(snapshot_object(tagged)) || left.front() == old.id);
         ASSERT_FALSE(left.empty());
         for (const SnapshotId& id : left) {
           const Snapshot snapshot = repository.load_snapshot(*context_, id);
           EXPECT_EQ(snapshot.tree, old.snapshot.tree);
           EXPECT_TRUE(id == old.id || snapshot.original == old.id);
         }
         expect_whole(repository);
       });
  EXPECT_EQ(snapshots(repository_.repository()), std::vector<SnapshotId>{tagged});
}

TEST_F(SnapshotCrashes, ARewriteThatForgetsLeavesTheOldOrTheNewSnapshotWhole) {
  const StoredSnapshot old = stored(repository_.backup(numbered(0, 5)));
  SnapshotId rewritten;
  play([&](Repository& repository) { rewritten = rewrite(repository, old, true); },
       [&](const Crash& crash, Repository& repository) {
         const std::vector<SnapshotId> left = snapshots(repository);
         const bool has_old = std::find(left.begin(), left.end(), old.id) != left.end();
         EXPECT_TRUE(has_old || crash.is_durable(snapshot_object(rewritten)));
         expect_whole(repository);
         if (has_old) {
           EXPECT_EQ(repository_.read(repository, old.id), numbered(0, 5));
           (void)rewrite(repository, old, true);
         }
         // With both there, the run again makes a second new one: never none.
         const std::vector<SnapshotId> after = snapshots(repository);
         EXPECT_FALSE(after.empty());
         for (const SnapshotId& id : after) {
           EXPECT_EQ(repository_.read(repository, id), numbered(1, 5));
         }
         expect_whole(repository);
       });
}

TEST_F(SnapshotCrashes, ARewriteThatKeepsNeverTouchesTheOldSnapshot) {
  const StoredSnapshot old = stored(repository_.backup(numbered(0, 5)));
  play([&](Repository& repository) { (void)rewrite(repository, old, false); },
       [&](const Crash& crash, Repository& repository) {
         EXPECT_TRUE(crash.is_durable(snapshot_object(old.id)));
         EXPECT_EQ(repository_.read(repository, old.id), numbered(0, 5));
         expect_whole(repository);
       });
}

class UpgradeCrashes : public SnapshotCrashes {
 protected:
  UpgradeCrashes() : SnapshotCrashes(1) {}
};

TEST_F(UpgradeCrashes, TheRepositoryIsOfTheOldOrTheNewVersionAndOpens) {
  const SnapshotId snapshot = repository_.backup(numbered(0, 5));
  bool saw[3] = {};
  play(
      [&](Repository& repository) {
        upgrade_to_version_2(*context_, repository, [&] { recording_.mark("confirmed"); });
        recording_.mark("done");
      },
      [&](const Crash& crash, Repository& repository) {
        const unsigned version = repository.config().version;
        EXPECT_TRUE(version == 1 || (version == 2 && crash.has_mark("confirmed")));
        EXPECT_TRUE(version == 2 || !crash.has_mark("done"));
        saw[version] = true;
        EXPECT_EQ(repository_.read(repository, snapshot), numbered(0, 5));
        if (version == 1) {
          upgrade_to_version_2(*context_, repository, {});
        }
        expect_whole(repository);
        EXPECT_TRUE(
            list_migrations(*Repository::open(*context_, borrow_storage(repository.storage()),
                                              Secret(test::kTestPassword)))
                .front()
                .obstacle.ends_with("version 2"));
      });
  EXPECT_TRUE(saw[1] && saw[2]);
}

// One command after the other; the real restic judges each state that one can leave behind.
TEST_F(UpgradeCrashes, ResticFindsNothingWrongAfterAnyCrashOfAny) {
  if (!has_restic()) {
    GTEST_SKIP() << "restic is not installed";
  }
  const auto judge = [this](const char* command, const std::function<void(Repository&)>& work) {
    SCOPED_TRACE(command);
    recording_.restart(*context_);
    work(*repository_.reopen());
    expect_sound_to_restic();
  };
  const SnapshotId first = repository_.backup(numbered(0, 5), 1700000000);
  SnapshotId second = repository_.backup(numbered(3, 9), 1700000001);
  SmallRepository source;
  source.backup(numbered(7, 15));
  judge("migrate",
        [&](Repository& repository) { upgrade_to_version_2(*context_, repository, {}); });
  judge("copy", [&](Repository& repository) { (void)copy(source, repository); });
  judge("tag", [&](Repository& repository) { second = tag(repository, stored(second)); });
  judge("rewrite", [&](Repository& repository) { (void)rewrite(repository, stored(first), true); });
  judge("forget", [&](Repository& repository) { (void)forget(repository, {second}); });
}

}  // namespace
}  // namespace salvor
