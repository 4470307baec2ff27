#include "protect/drill_area.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "plan/run_journal.h"
#include "support/temp_directory.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Of no other test: clearing away ends what carries its mark.
constexpr const char* kId = "d7111a4ea000d7111a4ea000d7111a4e";
constexpr uid_t kSomebody = 54321;

class DrillAreaTest : public ::testing::Test {
 protected:
  // An area as a drill leaves it that was told to keep its sandboxes.
  void leave_one(const KeptArea& note) {
    DrillArea area(sandboxes_, note.id.substr(0, 12));
    area.keep(note);
  }
  // The same made by hand, whoever's it is then.
  fs::path forge(const fs::path& area, const std::string& outside) const {
    fs::create_directories(area);
    std::ofstream(area / "kept.json")
        << R"({"drill": ")" << kId << R"(", "until": ")" << plan::time_text(now_ - hours(1))
        << R"(", "enter": [], "outside": [")" << outside << R"("]})";
    return area;
  }

  test::TempDirectory directory_;
  const fs::path sandboxes_ = directory_ / "sandboxes";
  const WallTime now_ = std::chrono::system_clock::now();
};

TEST_F(DrillAreaTest, WhatIsKeptStaysUntilItsTimeIsOver) {
  leave_one({.id = kId, .until = now_ + hours(1)});
  ASSERT_EQ(DrillArea::kept(sandboxes_).size(), 1U);
  EXPECT_THAT(DrillArea::remove_dead(sandboxes_, now_), IsEmpty());
  EXPECT_THAT(DrillArea::remove_dead(sandboxes_, now_ + hours(2)),
              ElementsAre("salvor-drill-d7111a4ea000"));
  EXPECT_TRUE(fs::is_empty(sandboxes_));
}

// A note takes along only what servers of ours leave, and only from where they leave it.
TEST_F(DrillAreaTest, NothingElsewhereGoesWithIt) {
  const fs::path precious = directory_ / "salvor-repository";
  fs::create_directories(precious);
  leave_one({.id = kId, .until = now_ - hours(1), .outside = {precious.string()}});
  EXPECT_EQ(DrillArea::remove_dead(sandboxes_, now_).size(), 1U);
  EXPECT_TRUE(fs::exists(precious));
}

// In a directory where everybody may make some.
TEST_F(DrillAreaTest, WhatSomebodyElseMadeIsLeftAlone) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can make it somebody else's";
  }
  const fs::path runtime = "/tmp/salvor-" + directory_.path().filename().string();
  fs::create_directories(runtime);
  const fs::path area = forge(sandboxes_ / "salvor-drill-d7111a4ea000", runtime.string());
  ASSERT_EQ(::chown(area.c_str(), kSomebody, kSomebody), 0);
  EXPECT_THAT(DrillArea::remove_dead(sandboxes_, now_), IsEmpty());
  EXPECT_THAT(DrillArea::kept(sandboxes_), IsEmpty());
  DrillArea::remove(sandboxes_, {.id = kId, .outside = {runtime.string()}});
  EXPECT_TRUE(fs::exists(area / "kept.json"));
  EXPECT_TRUE(fs::exists(runtime));
  EXPECT_FALSE(fs::exists(area / ".lock"));
  // Ours, with a note of theirs: the note counts for nothing.
  ASSERT_EQ(::chown(area.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown((area / "kept.json").c_str(), kSomebody, kSomebody), 0);
  EXPECT_THAT(DrillArea::kept(sandboxes_), IsEmpty());
  EXPECT_EQ(DrillArea::remove_dead(sandboxes_, now_).size(), 1U);
  EXPECT_TRUE(fs::exists(runtime));
  fs::remove_all(runtime);
}

TEST_F(DrillAreaTest, ALinkIsNoArea) {
  const fs::path elsewhere = forge(directory_ / "elsewhere", "");
  fs::create_directories(sandboxes_);
  fs::create_directory_symlink(elsewhere, sandboxes_ / "salvor-drill-d7111a4ea000");
  EXPECT_THAT(DrillArea::remove_dead(sandboxes_, now_), IsEmpty());
  EXPECT_THAT(DrillArea::kept(sandboxes_), IsEmpty());
  EXPECT_TRUE(fs::exists(elsewhere / "kept.json"));
}

}  // namespace
}  // namespace salvor
