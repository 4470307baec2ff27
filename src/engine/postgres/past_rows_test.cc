#include "engine/postgres/past_rows.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

using ::testing::HasSubstr;

class RecoveredRowsTest : public testing::Test {
 protected:
  SnapshotId back_up(uint64_t system) {
    Snapshot snapshot = small_.repository().load_snapshot(
        context_, small_.backup({{"base/1", std::to_string(system)}}));
    snapshot.tags = postgres::to_tags({.system_identifier = system,
                                       .version = "15.4",
                                       .timeline = {1},
                                       .start = {5U << 24U},
                                       .stop = {(5U << 24U) + 100}});
    small_.repository().load_index(context_);
    return small_.save(snapshot).id;
  }
  [[nodiscard]] Error failure(RecoveredRowsOptions options) {
    options.scratch = scratch_.path().string();
    options.restore.on_step = [](const std::string&) {};
    Error error =
        test::error_of([&] { const RecoveredRows rows(context_, small_.repository(), options); });
    EXPECT_TRUE(std::filesystem::is_empty(scratch_.path())) << "what was made is removed again";
    return error;
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  test::TempDirectory scratch_;
};

TEST_F(RecoveredRowsTest, AreOfOneClusterThatIsSaidWhereThereAreSeveral) {
  EXPECT_EQ(failure({}).code(), ErrorCode::kNotFound);
  back_up(1);
  const SnapshotId second = back_up(2);
  EXPECT_EQ(failure({}).code(), ErrorCode::kUsage);
  // These get so far that they look for the cluster's version, which these backups do not have.
  EXPECT_THAT(failure({.backup = second}).message(), HasSubstr("PG_VERSION"));
  EXPECT_THAT(failure({.system = 1}).message(), HasSubstr("PG_VERSION"));
}

}  // namespace
}  // namespace salvor
