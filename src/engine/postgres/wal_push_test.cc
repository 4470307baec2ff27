#include "engine/postgres/wal_push.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
using test::SegmentMaker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

class WalPushTest : public testing::Test {
 protected:
  WalPushTest() { fs::create_directories(place_ / "data/pg_wal/archive_status"); }

  static std::string name(uint64_t segment) {
    return postgres::segment_name({1}, {segment}, kSize);
  }
  [[nodiscard]] std::string path(uint64_t segment) const {
    return (place_ / "data/pg_wal" / name(segment)).string();
  }
  // Finished by the server, which waits for it to be archived.
  void write(uint64_t segment, const std::string& content) const {
    std::ofstream(path(segment), std::ios::binary) << content;
    std::ofstream(place_ / "data/pg_wal/archive_status" / (name(segment) + ".ready"));
  }
  [[nodiscard]] static bool take(const PushNotes& notes, const std::string& path) {
    return notes.take(path, std::chrono::system_clock::now());
  }
  [[nodiscard]] std::string refusal() const {
    return test::error_of([&] { (void)wal_owner(path(5), ""); }).message();
  }

  test::SmallRepository small_;
  const WalArchive archive_{small_.repository(), test::kWalSystem, kSize};
  test::TempDirectory place_;
  const PushNotes notes_{(place_ / "notes").string(), "an archive"};
};

TEST_F(WalPushTest, AFileThatWasNotAskedForMayFail) {
  write(5, SegmentMaker(5).bytes());
  write(6, std::string(test::kWalSegment, 'x'));
  write(7, SegmentMaker(7).bytes());
  const WalPushResult result = push_wal(small_.context(), archive_, {.path = path(5)}, &notes_);
  EXPECT_EQ(result.stored, 2U);
  EXPECT_EQ(result.failed, 1U);
  EXPECT_FALSE(take(notes_, path(6)));
  EXPECT_TRUE(take(notes_, path(7)));
  EXPECT_FALSE(take(notes_, path(7))) << "a note counts once";
  std::vector<std::string> stored;
  for (const JournalEntry& entry : archive_.journal().list(small_.context())) {
    stored.push_back(entry.position);
  }
  EXPECT_THAT(stored, ElementsAre(name(5), name(7)));
  EXPECT_EQ(test::code_of(
                [&] { (void)push_wal(small_.context(), archive_, {.path = path(6)}, &notes_); }),
            ErrorCode::kDamaged);
}

TEST_F(WalPushTest, ANoteIsOfAFileThatIsThereAndUnchanged) {
  write(5, "five");
  notes_.add(path(5));
  EXPECT_FALSE(take(PushNotes((place_ / "notes").string(), "another archive"), path(5)));
  EXPECT_TRUE(take(notes_, path(5)));
  notes_.add(path(5));
  write(5, "changed");
  EXPECT_FALSE(take(notes_, path(5)));
  notes_.add(path(5));
  fs::remove(path(5));
  EXPECT_FALSE(take(notes_, path(5)));
  notes_.add(path(5));
  EXPECT_FALSE(take(notes_, path(5))) << "nothing was there to be noted";
}

TEST_F(WalPushTest, WhoseWalItIsIsToldByTheClusterBesideIt) {
  EXPECT_THAT(refusal(), HasSubstr("cannot tell whose WAL " + path(5)));
  fs::create_directories(place_ / "data/global");
  std::ofstream(place_ / "data/global/pg_control") << std::string(8192, 'x');
  EXPECT_THAT(refusal(), HasSubstr("cannot tell whose WAL " + path(5)));
}

}  // namespace
}  // namespace salvor
