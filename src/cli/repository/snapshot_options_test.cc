#include "cli/repository/snapshot_options.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "support/temp_directory.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;

TEST(FilterOptions, PathsAreMeantFromTheWorkingDirectory) {
  const test::TempDirectory directory;
  const fs::path previous = fs::current_path();
  fs::current_path(directory.path());
  const std::string here = fs::current_path().string();
  const auto matches = [&](const std::string& wanted, const std::string& recorded) {
    Snapshot snapshot;
    snapshot.paths = {recorded};
    FilterOptions options;
    options.paths = {wanted};
    return options.filter().matches(snapshot);
  };
  EXPECT_TRUE(matches(".", here));
  EXPECT_TRUE(matches("data/", here + "/data"));
  EXPECT_TRUE(matches("./data/../src", here + "/src"));
  EXPECT_TRUE(matches("/etc//x/../ssh/", "/etc/ssh"));
  EXPECT_TRUE(matches("/", "/"));
  EXPECT_TRUE(matches("/export//var/run", "/export//var/run")) << "recorded as it was given";
  EXPECT_TRUE(matches("C:\\data", "C:\\data"));
  EXPECT_FALSE(matches("data", "/data"));
  EXPECT_FALSE(matches("/data", here + "/data"));
  fs::current_path(previous);
}

}  // namespace
}  // namespace salvor::cli
