#include "engine/postgres/tablespace_guard.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVersion = "PG_15_202209061";

class TablespaceGuardTest : public testing::Test {
 protected:
  TablespaceGuardTest() {
    fs::create_directories(space_ + "/" + kVersion);
    fs::create_directories(target_ + "/pg_tblspc");
    fs::create_directories(original_ + "/pg_tblspc");
    fs::create_directory_symlink(space_, original_ + "/pg_tblspc/16400");
  }
  [[nodiscard]] std::optional<Error> refused(const std::string& cluster, bool moves) const {
    try {
      require_own_tablespace(
          {.path = space_, .names = {kVersion}, .clusters = {cluster}, .moves = moves});
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  test::TempDirectory place_;
  std::string space_ = (place_ / "space").string();
  std::string target_ = (place_ / "target").string();
  std::string original_ = (place_ / "original").string();
};

TEST_F(TablespaceGuardTest, WhatAnotherClusterUsesIsRefused) {
  for (const bool moves : {false, true}) {
    const auto error = refused(target_, moves);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kUsage);
    EXPECT_NE(error->hint().find("--tablespaces-in"), std::string::npos);
    EXPECT_TRUE(refused((place_ / "nowhere").string(), moves));
    EXPECT_FALSE(refused(original_, moves));
  }
}

TEST_F(TablespaceGuardTest, AnotherVersionsDirectoryIsNotMovedAlong) {
  fs::create_directory(space_ + "/PG_17_202406281");
  EXPECT_FALSE(refused(original_, false));
  const auto error = refused(original_, true);
  ASSERT_TRUE(error);
  EXPECT_NE(error->message().find("PG_17_202406281"), std::string::npos) << error->message();
}

// An empty one at the end of a link through another link.
TEST_F(TablespaceGuardTest, LinksAreFollowed) {
  const std::string other = (place_ / "other").string();
  fs::create_directory_symlink(space_, other);
  fs::create_directory_symlink(other, target_ + "/pg_tblspc/16401");
  EXPECT_FALSE(refused(target_, true));
}

}  // namespace
}  // namespace salvor
