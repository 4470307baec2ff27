#include "engine/postgres/wal_fetch.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
using test::SegmentMaker;

constexpr postgres::SegmentSize kSize{test::kWalSegment};

class WalFetchTest : public testing::Test {
 protected:
  WalFetchTest() { fs::create_directories(pg_wal_); }

  static std::string name(uint64_t segment) {
    return postgres::segment_name({1}, {segment}, kSize);
  }
  void push(uint64_t segment) {
    archive_.push(small_.context(), name(segment), as_bytes(SegmentMaker(segment).bytes()));
  }
  [[nodiscard]] WalFetchOptions options(uint64_t segment) const {
    return {.name = name(segment), .destination = destination_.string(), .ahead = 2};
  }
  WalFetched fetch(uint64_t segment) {
    fs::remove(destination_);
    return fetch_wal(small_.context(), archive_, options(segment));
  }
  bool take(uint64_t segment) {
    fs::remove(destination_);
    return take_prefetched(options(segment), test::kWalSystem, kSize);
  }
  // What the server gets.
  [[nodiscard]] std::string brought() const {
    std::ostringstream text;
    text << std::ifstream(destination_, std::ios::binary).rdbuf();
    return text.str();
  }

  test::SmallRepository small_;
  WalArchive archive_{small_.repository(), test::kWalSystem, kSize};
  test::TempDirectory place_;
  const fs::path pg_wal_ = place_ / "pg_wal";
  const fs::path ahead_ = pg_wal_ / "salvor-prefetch";
  const fs::path destination_ = pg_wal_ / "RECOVERYXLOG";
};

TEST_F(WalFetchTest, WhatComesNextIsBroughtAheadAndTakenOnce) {
  for (const uint64_t segment : {5, 6, 7, 8}) {
    push(segment);
  }
  EXPECT_EQ(fetch(5), WalFetched::kRestored);
  EXPECT_EQ(brought(), SegmentMaker(5).bytes());
  EXPECT_TRUE(take(6));
  EXPECT_EQ(brought(), SegmentMaker(6).bytes());
  EXPECT_FALSE(take(6));
  EXPECT_FALSE(take(8)) << "two ahead were asked for";
  EXPECT_TRUE(fs::exists(ahead_ / name(7)));
  EXPECT_EQ(fetch(9), WalFetched::kAbsent);
  EXPECT_FALSE(fs::exists(ahead_)) << "the end of recovery";
}

TEST_F(WalFetchTest, WhatCannotBeBroughtAheadIsNoError) {
  for (const uint64_t segment : {5, 6, 7}) {
    push(segment);
  }
  std::ofstream(ahead_.string()) << "in the way";
  EXPECT_EQ(fetch(5), WalFetched::kRestored);
  EXPECT_FALSE(take(6));
  fs::remove(ahead_);
  fs::create_directories(ahead_ / (name(6) + ".salvor-part"));
  EXPECT_EQ(fetch(5), WalFetched::kRestored);
  EXPECT_EQ(brought(), SegmentMaker(5).bytes());
  EXPECT_FALSE(take(6));
}

// Left there by another cluster's recovery, or by a crash.
TEST_F(WalFetchTest, OnlyTheSegmentItselfIsTaken) {
  const std::string right = SegmentMaker(6).bytes();
  std::string other_system = right;
  other_system[24] ^= 1;
  std::string no_header = right;
  no_header.replace(0, 100, 100, 'x');
  fs::create_directories(ahead_);
  for (const std::string& wrong :
       {other_system, no_header, SegmentMaker(7).bytes(), right.substr(1), std::string()}) {
    std::ofstream(ahead_ / name(6), std::ios::binary) << wrong;
    EXPECT_FALSE(take(6));
    EXPECT_FALSE(fs::exists(destination_));
  }
  std::ofstream(ahead_ / name(6), std::ios::binary) << right;
  EXPECT_TRUE(take(6));
}

}  // namespace
}  // namespace salvor
