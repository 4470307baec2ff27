#include "engine/postgres/cluster_seed.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "support/small_repository.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}
test::Files files_in(const fs::path& directory) {
  test::Files files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) {
      std::ostringstream text;
      text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      files[fs::relative(entry.path(), directory).string()] = text.str();
    }
  }
  return files;
}

// To another kind of file system, where the kernel may not copy by itself, and to the same one.
class ClusterSeedTest : public testing::TestWithParam<test::TempPlace> {
 protected:
  ClusterSeedTest() {
    const SnapshotId id = small_.backup({{"base/1", "of the backup"},
                                         {"base/2", "of the backup"},
                                         {"base/link", "of the backup"},
                                         {"gone/3", "of the backup"},
                                         {"pg_wal/4", "of the backup"}});
    tree_ = small_.repository().load_snapshot(context_, id).tree;
    small_.repository().load_index(context_);
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  BlobId tree_;
  test::TempDirectory old_{test::TempPlace::kMemory};
  test::TempDirectory new_{GetParam()};
  const SeedOptions options_{
      .from = (old_ / "data").string(),
      .leave_out = [](const std::string& path) { return path == "/pg_wal"; }};
};

TEST_P(ClusterSeedTest, CopiesFilesThatBothHave) {
  const std::string large = test::some_content(1, 2'500'000);
  write(old_ / "data/base/1", large);
  write(old_ / "data/base/5", "that the backup does not have");
  write(old_ / "data/pg_wal/4", "left out");
  write(old_ / "elsewhere", "not the cluster's");
  fs::create_symlink(old_ / "elsewhere", old_ / "data/base/link");
  const SeedSize size = measure_seed(context_, small_.repository(), tree_, options_);
  EXPECT_EQ(size.files, 1U);
  EXPECT_EQ(size.bytes, large.size());
  EXPECT_GT(size.available, 0U);
  seed(context_, small_.repository(), tree_, options_, (new_ / "data").string());
  EXPECT_EQ(files_in(new_ / "data"), (test::Files{{"base/1", large}}));
}

TEST_P(ClusterSeedTest, OfNothingThereIsNothing) {
  EXPECT_EQ(measure_seed(context_, small_.repository(), tree_, options_).files, 0U);
  seed(context_, small_.repository(), tree_, options_, (new_ / "data").string());
  EXPECT_TRUE(files_in(new_ / "data").empty());
}

INSTANTIATE_TEST_SUITE_P(Places, ClusterSeedTest,
                         testing::Values(test::TempPlace::kMemory, test::TempPlace::kDisk));

}  // namespace
}  // namespace salvor
