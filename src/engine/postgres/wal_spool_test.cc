#include "engine/postgres/wal_spool.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temp_directory.h"

namespace salvor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kSegment = 1U << 20;
constexpr const char* kFirst = "000000010000000000000005";
constexpr const char* kSecond = "000000010000000000000006";

class WalSpoolTest : public testing::Test {
 protected:
  static std::string text(size_t size, char fill) { return std::string(size, fill); }
  std::string content(const WalSpool& spool, const std::string& name) {
    Buffer bytes;
    spool.read(name, bytes);
    return std::string(as_text(bytes.view()));
  }
  void receive(WalSpool& spool, size_t size, char fill) {
    spool.wal(at_, as_bytes(text(size, fill)));
    at_.value += size;
  }

  test::TempDirectory place_;
  postgres::Lsn at_{uint64_t{5} * kSegment};
};

TEST_F(WalSpoolTest, CountsWhatWaitsAlsoAfterReopening) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 2 * kSegment);
  spool.begin({1}, at_);
  EXPECT_TRUE(spool.wants_more());
  receive(spool, kSegment + 10, 'a');
  EXPECT_THAT(spool.whole(), ElementsAre(kFirst));
  EXPECT_EQ(spool.bytes(), kSegment);
  receive(spool, kSegment - 10, 'b');
  EXPECT_EQ(spool.waiting(), 2U);
  EXPECT_FALSE(spool.wants_more());
  WalSpool again((place_.path() / "s").string(), {kSegment}, 2 * kSegment);
  EXPECT_FALSE(again.wants_more());
  again.remove(kFirst);
  EXPECT_EQ(again.bytes(), kSegment);
  EXPECT_TRUE(again.wants_more());
}

TEST_F(WalSpoolTest, ASegmentReceivedAgainIsOne) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  const postgres::Lsn start = at_;
  spool.begin({1}, start);
  receive(spool, kSegment, 'a');
  at_ = start;
  spool.begin({1}, start);
  receive(spool, kSegment, 'a');
  EXPECT_EQ(spool.waiting(), 1U);
}

// The file of a segment that was stored is written over by a later one.
TEST_F(WalSpoolTest, NothingOfASpareComesThrough) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  spool.begin({1}, at_);
  receive(spool, kSegment, 'a');
  spool.remove(kFirst);
  EXPECT_THAT(spool.whole(), IsEmpty());
  ASSERT_TRUE(std::filesystem::exists((place_.path() / "s/spare").string()));

  receive(spool, 1000, 'b');
  EXPECT_FALSE(std::filesystem::exists((place_.path() / "s/spare").string()));
  EXPECT_FALSE(spool.tail("", 0).has_value()) << "it is not durable yet";
  EXPECT_EQ(spool.sync(), at_);
  EXPECT_EQ(spool.durable_bytes(), 1000U);
  const auto tail = spool.tail("", 0);
  ASSERT_TRUE(tail.has_value());
  EXPECT_EQ(tail->segment, kSecond);
  EXPECT_EQ(as_text(tail->bytes.view()), text(1000, 'b'));

  spool.end_timeline();
  EXPECT_EQ(content(spool, std::string(kSecond) + ".partial"),
            text(1000, 'b') + text(kSegment - 1000, '\0'));
  EXPECT_EQ(spool.durable_bytes(), 0U);
}

TEST_F(WalSpoolTest, ASpareDoesNotTakeTheRoomOfWhatIsReceivedAgain) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  spool.begin({1}, at_);
  receive(spool, kSegment, 'a');
  spool.remove(kFirst);
  spool.begin({1}, at_);
  EXPECT_FALSE(std::filesystem::exists(place_.path() / "s/spare"));
}

TEST_F(WalSpoolTest, AShortenedFileIsNotASegment) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  spool.begin({1}, at_);
  receive(spool, kSegment, 'a');
  std::filesystem::resize_file(spool.path(kFirst), kSegment - 1);
  EXPECT_THROW(static_cast<void>(content(spool, kFirst)), Error);
}

}  // namespace
}  // namespace salvor
