// What happens to directories before a server is started.
#include "engine/postgres/postgres_restore.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}
std::string content(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

class PostgresRestoreTest : public testing::Test {
 protected:
  PostgresRestoreTest() {
    options_.target = data_.string();
    options_.after = AfterRecovery::kNone;
    options_.on_step = [this](const std::string& step) { steps_.push_back(step); };
  }
  PostgresRestoreResult restore() {
    RecoveryPlan plan;
    const SnapshotId id = small_.backup(files_);
    small_.repository().load_index(context_);
    plan.backup.snapshot = {id, small_.repository().load_snapshot(context_, id)};
    return PostgresRestorer(small_.repository(), archive_).run(context_, plan, options_);
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  const WalArchive archive_{small_.repository(), test::kWalSystem, {test::kWalSegment}};
  test::TempDirectory place_;
  const fs::path data_ = place_ / "data";
  const fs::path space_ = place_ / "space";
  test::Files files_{
      {"PG_VERSION", "15\n"}, {"base/1", "a table"}, {"global/pg_control", "control"}};
  PostgresRestoreOptions options_;
  std::vector<std::string> steps_;
};

TEST_F(PostgresRestoreTest, WithoutAllFilesThereIsNothingToStart) {
  files_["base/" + std::string(300, 'x')] = "longer than any name can be";
  const Error error = test::error_of([&] { (void)restore(); });
  EXPECT_EQ(error.code(), ErrorCode::kIncomplete);
  EXPECT_THAT(error.message(), HasSubstr("1 files could not be restored"));
  EXPECT_EQ(content(data_ / "base/1"), "a table");
  EXPECT_FALSE(fs::exists(data_ / "global/pg_control"));
}

TEST_F(PostgresRestoreTest, WhatAnEarlierRunMovedAsideIsNotMovedAgain) {
  const fs::path aside = place_ / "data.before-k";
  write(aside / "base/1", "the old one");
  write(data_ / "base/2", "half of the new one");
  options_.existing = ExistingCluster::kMoveAside;
  options_.aside = "k";
  EXPECT_EQ(restore().moved_aside, aside);
  EXPECT_THAT(steps_, Contains(HasSubstr("was moved to " + aside.string() + " already")));
  EXPECT_EQ(content(aside / "base/1"), "the old one");
  EXPECT_EQ(content(data_ / "base/1"), "a table");
  EXPECT_FALSE(fs::exists(data_ / "base/2"));
  EXPECT_TRUE(fs::exists(data_ / "recovery.signal"));
}

TEST_F(PostgresRestoreTest, ATablespaceIsChangedInPlaceAndWhatIsNotTheClustersStays) {
  files_["tablespace_map"] = "16400 " + space_.string() + "\n";
  files_["pg_tblspc/16400/PG_15_1/2"] = "in the tablespace";
  (void)restore();
  EXPECT_EQ(content(space_ / "PG_15_1/2"), "in the tablespace");
  // As the server does when it starts, and works.
  fs::create_directory_symlink(space_, data_ / "pg_tblspc/16400");
  write(space_ / "PG_15_1/2", "changed");
  write(space_ / "PG_15_1/3", "new");
  write(space_ / "PG_14_9/2", "of a cluster of another version");
  options_.existing = ExistingCluster::kOverwrite;
  EXPECT_TRUE(restore().moved.empty());
  EXPECT_EQ(content(space_ / "PG_15_1/2"), "in the tablespace");
  EXPECT_FALSE(fs::exists(space_ / "PG_15_1/3"));
  EXPECT_EQ(content(space_ / "PG_14_9/2"), "of a cluster of another version");
}

}  // namespace
}  // namespace salvor
