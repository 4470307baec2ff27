// Plays out every crash of the commands that add things: a backup, a key change, a change of tags.
// The real restic judges each state that a backup can leave behind.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "connector/files/files_source.h"
#include "engine/backup/archiver.h"
#include "engine/maintenance/checker.h"
#include "repo/key_store.h"
#include "storage/decorators/recording_storage.h"
#include "storage/memory_storage.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr ScryptParameters kCheapKey{16, 1, 1};
constexpr const char* kPassword = "crash";

class BackupCrashes : public ::testing::Test {
 protected:
  BackupCrashes() : recording_(*context_, make_memory_storage()) {
    CreateOptions options;
    options.kdf = kCheapKey;
    (void)Repository::create(*context_, borrow_storage(recording_), Secret(kPassword), options);
    // A relative target: /tmp, which other tests change all the time, stays out of the snapshots.
    fs::current_path(directory_.path());
    fs::create_directories(source());
  }
  ~BackupCrashes() override { fs::current_path("/"); }

  [[nodiscard]] static fs::path source() { return "source"; }

  // `count` files of random content, so that packs of 64 KiB fill up several times.
  void write_files(const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) {
      std::string content(20000, '\0');
      random_.fill({reinterpret_cast<std::byte*>(content.data()), content.size()});
      std::ofstream(source() / (prefix + std::to_string(i)), std::ios::binary) << content;
    }
  }

  [[nodiscard]] std::unique_ptr<Repository> open(Storage& storage,
                                                 const char* password = kPassword) {
    return Repository::open(*context_, borrow_storage(storage), Secret(password));
  }

  BackupResult back_up(Storage& storage) {
    const std::unique_ptr<Repository> repository = open(storage);
    repository->load_index(*context_);
    FilesOptions files;
    files.targets = {source().string()};
    FilesSource from(files);
    BackupOptions options;
    options.time = LocalZone().stamp(std::chrono::system_clock::now());
    options.hostname = "host";
    options.write.pack_size_bytes = 64 << 10;
    options.write.uploads = 2;
    return Archiver(*repository).run(*context_, from, options);
  }

  void expect_whole(Repository& repository) {
    CheckOptions options;
    options.read = ReadAll{};
    for (const Finding& finding : Checker(*context_, repository, options).run().findings) {
      EXPECT_FALSE(finding.is_error()) << finding.object << ": " << finding.what;
    }
  }

  [[nodiscard]] bool has_snapshot(const Repository& repository, const SnapshotId& id) {
    for (const StoredSnapshot& stored : repository.load_snapshots(*context_)) {
      if (stored.id == id) {
        return true;
      }
    }
    return false;
  }

  test::TestContext context_;
  SeededRandom random_{7};
  test::TempDirectory directory_;
  RecordingStorage recording_;
};

TEST_F(BackupCrashes, WhatWasCommittedIsNeverLostAndWhatIsSeenIsWhole) {
  write_files("first", 5);
  const SnapshotId first = *back_up(recording_).snapshot;
  write_files("second", 12);
  recording_.restart(*context_);
  const SnapshotId second = *back_up(recording_).snapshot;
  recording_.mark("committed");
  const std::vector<Crash> crashes = recording_.crashes();
  ASSERT_GE(crashes.size(), 12U);
  for (const Crash& crash : crashes) {
    SCOPED_TRACE(crash.label());
    const std::unique_ptr<Storage> left = make_memory_storage();
    crash.materialise(*context_, *left);
    const std::unique_ptr<Repository> repository = open(*left);
    EXPECT_TRUE(has_snapshot(*repository, first));
    EXPECT_TRUE(has_snapshot(*repository, second) || !crash.has_mark("committed"));
    expect_whole(*repository);
    if (HasFailure()) {
      return;
    }
  }
}

// The order of durability: a pack before an index that lists it, every index before the snapshot.
TEST_F(BackupCrashes, PacksAreDurableBeforeTheIndexAndTheIndexBeforeTheSnapshot) {
  write_files("file", 12);
  recording_.restart(*context_);
  (void)back_up(recording_);
  bool saw_index = false;
  bool saw_snapshot = false;
  for (const Crash& crash : recording_.crashes()) {
    SCOPED_TRACE(crash.label());
    const std::unique_ptr<Storage> left = make_memory_storage();
    crash.materialise(*context_, *left);
    const std::unique_ptr<Repository> repository = open(*left);
    repository->load_index(*context_);
    for (const PackId& pack : repository->index().packs()) {
      EXPECT_TRUE(crash.is_durable(pack_object(pack)));
      saw_index = true;
    }
    for (const StoredSnapshot& snapshot : repository->load_snapshots(*context_)) {
      EXPECT_TRUE(repository->index().contains({BlobType::kTree, snapshot.snapshot.tree}));
      for (const IndexId& index : repository->index_files()) {
        EXPECT_TRUE(crash.is_durable(index_object(index)));
      }
      saw_snapshot = true;
    }
  }
  EXPECT_TRUE(saw_index && saw_snapshot);
}

TEST_F(BackupCrashes, RunningItAgainFinishesTheWork) {
  write_files("file", 12);
  recording_.restart(*context_);
  const BackupResult whole = back_up(recording_);
  for (const Crash& crash : recording_.crashes()) {
    SCOPED_TRACE(crash.label());
    const std::unique_ptr<Storage> left = make_memory_storage();
    crash.materialise(*context_, *left);
    const BackupResult again = back_up(*left);
    EXPECT_EQ(again.tree, whole.tree);
    expect_whole(*open(*left));
    if (HasFailure()) {
      return;
    }
  }
}

// Nothing that an index lists is uploaded a second time.
TEST_F(BackupCrashes, WhatWasIndexedBeforeTheCrashIsNotStoredAgain) {
  write_files("file", 12);
  recording_.restart(*context_);
  const BackupResult whole = back_up(recording_);
  const std::vector<Crash> crashes = recording_.crashes();
  const std::unique_ptr<Storage> left = make_memory_storage();
  bool tested = false;
  for (const Crash& crash : crashes) {
    const auto objects = crash.objects();
    const bool indexed = std::any_of(objects.begin(), objects.end(), [](const auto& object) {
      return object.first.kind == ObjectKind::kIndex;
    });
    if (indexed && !tested) {
      crash.materialise(*context_, *left);
      EXPECT_EQ(back_up(*left).summary.data_blobs, 0U);
      tested = true;
    }
  }
  EXPECT_TRUE(tested);
  EXPECT_GT(whole.summary.data_blobs, 0U);
}

TEST_F(BackupCrashes, SomePasswordOpensTheRepositoryAtEveryMomentOfAKeyChange) {
  const std::unique_ptr<Repository> repository = open(recording_);
  recording_.restart(*context_);
  (void)add_key(*context_, recording_, repository->master_key(), Secret("new"),
                {"user", "host", kCheapKey});
  recording_.mark("added");
  remove_key(*context_, recording_, repository->key_id());
  recording_.mark("removed");
  for (const Crash& crash : recording_.crashes()) {
    SCOPED_TRACE(crash.label());
    const std::unique_ptr<Storage> left = make_memory_storage();
    crash.materialise(*context_, *left);
    const auto opens = [&](const char* password) {
      try {
        (void)open(*left, password);
        return true;
      } catch (const Error&) {
        return false;
      }
    };
    EXPECT_TRUE(opens(kPassword) || opens("new"));
    EXPECT_TRUE(opens("new") || !crash.has_mark("added"));
    EXPECT_FALSE(opens(kPassword) && crash.has_mark("removed"));
  }
}

// restic's own check over every state that a crash of ours can leave on a disk.
TEST_F(BackupCrashes, ResticFindsNothingWrongAfterAnyCrash) {
  if (std::system("restic version > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "restic is not installed";
  }
  ASSERT_EQ(::setenv("RESTIC_PASSWORD", kPassword, 1), 0);
  write_files("first", 3);
  (void)back_up(recording_);
  write_files("second", 8);
  recording_.restart(*context_);
  (void)back_up(recording_);
  const fs::path left = fs::path(directory_.path()) / "left";
  const std::string command = "restic -r '" + left.string() +
                              "' --no-cache --no-lock check --read-data > '" +
                              (fs::path(directory_.path()) / "log").string() + "' 2>&1";
  for (const Crash& crash : recording_.crashes()) {
    SCOPED_TRACE(crash.label());
    crash.materialise(left);
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
}

}  // namespace
}  // namespace salvor
