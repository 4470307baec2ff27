// Plays out the crashes of a command on a small repository: the fixture of the *_crash_test.cc that
// are not about the archiver.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/maintenance/checker.h"
#include "storage/decorators/recording_storage.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor::test {

// The files dir/file<from> to dir/file<to - 1>, each of three blobs.
[[nodiscard]] inline Files numbered(int from, int to) {
  Files files;
  for (int i = from; i < to; ++i) {
    files["dir/file" + std::to_string(i)] = some_content(1000 + static_cast<uint64_t>(i), 2500);
  }
  return files;
}

class CrashPlay : public ::testing::Test {
 protected:
  explicit CrashPlay(unsigned version = 2)
      : recording_(*context_, make_memory_storage()),
        repository_(version, borrow_storage(recording_)) {}

  // Runs `work`, then `judge` on what each crash of it leaves, as a repository opened anew.
  void play(const std::function<void(Repository&)>& work,
            const std::function<void(const Crash&, Repository&)>& judge) {
    recording_.restart(*context_);
    work(*repository_.reopen());
    const std::vector<Crash> crashes = recording_.crashes();
    ASSERT_GE(crashes.size(), 4U);
    for (const Crash& crash : crashes) {
      SCOPED_TRACE(crash.label());
      const std::unique_ptr<Storage> left = make_memory_storage();
      crash.materialise(*context_, *left);
      const std::unique_ptr<Repository> repository =
          Repository::open(*context_, borrow_storage(*left), Secret(kTestPassword));
      judge(crash, *repository);
      if (HasFailure()) {
        return;  // one is enough to read
      }
    }
  }

  // The real restic's check over what each crash of the last `play` leaves on a disk.
  void expect_sound_to_restic() {
    ASSERT_EQ(::setenv("RESTIC_PASSWORD", kTestPassword, 1), 0);
    const TempDirectory directory;
    const std::filesystem::path left = std::filesystem::path(directory.path()) / "left";
    const std::string command = "restic -r '" + left.string() +
                                "' --no-cache --no-lock check --read-data > '" + left.string() +
                                ".log' 2>&1";
    for (const Crash& crash : recording_.crashes()) {
      SCOPED_TRACE(crash.label());
      crash.materialise(left);
      ASSERT_EQ(std::system(command.c_str()), 0);
    }
  }
  [[nodiscard]] static bool has_restic() {
    return std::system("restic version > /dev/null 2>&1") == 0;
  }

  // Every byte of every snapshot verifies; packs that no index lists are only notes.
  void expect_whole(Repository& repository) {
    CheckOptions options;
    options.read = ReadAll{};
    const CheckReport report = Checker(*context_, repository, options).run();
    for (const Finding& finding : report.findings) {
      EXPECT_FALSE(finding.is_error()) << finding.object << ": " << finding.what;
    }
  }

  [[nodiscard]] std::vector<SnapshotId> snapshots(const Repository& repository) {
    std::vector<SnapshotId> ids;
    for (const StoredSnapshot& stored : repository.load_snapshots(*context_)) {
      ids.push_back(stored.id);
    }
    return ids;
  }
  [[nodiscard]] StoredSnapshot stored(const SnapshotId& id) {
    return {id, repository_.repository().load_snapshot(*context_, id)};
  }

  TestContext context_;
  RecordingStorage recording_;
  SmallRepository repository_;
};

}  // namespace salvor::test
