#include "engine/postgres/wal_spool.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

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
  {
    WalSpool spool((place_.path() / "s").string(), {kSegment}, 2 * kSegment);
    spool.begin({1}, at_);
    EXPECT_TRUE(spool.wants_more());
    receive(spool, kSegment + 10, 'a');
    EXPECT_THAT(spool.whole(), ElementsAre(kFirst));
    EXPECT_EQ(spool.bytes(), kSegment);
    receive(spool, kSegment - 10, 'b');
    EXPECT_EQ(spool.waiting(), 2U);
    EXPECT_FALSE(spool.wants_more());
  }
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
  EXPECT_FALSE(spool.tail("", 0).has_value()) << "it is not durable yet";
  EXPECT_EQ(spool.sync(), at_);
  EXPECT_FALSE(std::filesystem::exists((place_.path() / "s/spare").string()));
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

// Two processes would take each other's files away.
TEST_F(WalSpoolTest, HasOneOwner) {
  const std::string folder = (place_.path() / "s").string();
  {
    const WalSpool spool(folder, {kSegment}, 8 * kSegment);
    EXPECT_EQ(test::code_of([&] { WalSpool(folder, {kSegment}, kSegment); }), ErrorCode::kLocked);
  }
  EXPECT_NO_THROW(WalSpool(folder, {kSegment}, kSegment));
}

// A process was killed: what it had told the server to be safe must come out of the file again, and
// nothing of the segment that was in the file before.
TEST_F(WalSpoolTest, WhatAKilledProcessHadReceivedIsFound) {
  const std::string folder = (place_.path() / "s").string();
  const std::string old = test::made_wal({1}, at_, {kSegment}, 'a');
  const postgres::Lsn next{at_.value + kSegment};
  const std::string wal = test::made_wal({1}, next, {kSegment}, 'b');
  for (const size_t received : {size_t{41}, size_t{8192}, size_t{8192 + 16}, size_t{30'000}}) {
    std::filesystem::remove_all(folder);
    {
      WalSpool spool(folder, {kSegment}, 8 * kSegment);
      spool.begin({1}, at_);
      spool.wal(at_, as_bytes(old));
      spool.remove(kFirst);
      spool.wal(next, as_bytes(wal).first(received));
      EXPECT_EQ(spool.sync().value, next.value + received);
    }
    const WalSpool again(folder, {kSegment}, 8 * kSegment);
    const auto tail = again.tail("", 0);
    ASSERT_TRUE(tail.has_value()) << received;
    EXPECT_EQ(tail->segment, kSecond);
    EXPECT_EQ(as_text(tail->bytes.view()), wal.substr(0, tail->bytes.size()));
    // What is short of it are zeros, which a tail is filled up with.
    EXPECT_EQ(wal.substr(tail->bytes.size(), received - tail->bytes.size()),
              text(received - tail->bytes.size(), '\0'))
        << received;
    ASSERT_TRUE(again.reached().has_value());
    EXPECT_LE(again.reached()->lsn.value, next.value + received);
  }
}

TEST_F(WalSpoolTest, WhatWasDurableStaysSoWhileItIsReceivedAgain) {
  const std::string wal = test::made_wal({1}, at_, {kSegment}, 'a');
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  EXPECT_FALSE(spool.resume().has_value());
  spool.begin({1}, at_);
  spool.wal(at_, as_bytes(wal).first(50'000));
  EXPECT_EQ(spool.sync().value, at_.value + 50'000);
  ASSERT_TRUE(spool.resume().has_value());
  EXPECT_EQ(spool.resume()->lsn, at_);
  EXPECT_EQ(spool.reached()->lsn.value, at_.value + 50'000);

  spool.begin({1}, at_);
  EXPECT_EQ(spool.durable_bytes(), 50'000U);
  spool.wal(at_, as_bytes(wal).first(10'000));
  EXPECT_EQ(spool.sync().value, at_.value + 10'000) << "the server hears what it has sent";
  EXPECT_EQ(spool.durable_bytes(), 50'000U);
  const auto tail = spool.tail(kFirst, 20'000);
  ASSERT_TRUE(tail.has_value());
  EXPECT_EQ(tail->begin, 20'000U);
  EXPECT_EQ(as_text(tail->bytes.view()), wal.substr(20'000, 30'000));
}

// The server was set back to an earlier state of its disk: its log goes on from there with other
// bytes at the same places.
TEST_F(WalSpoolTest, AnotherHistoryIsNotWrittenOverTheFirst) {
  std::string wal = test::made_wal({1}, at_, {kSegment}, 'a');
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  spool.begin({1}, at_);
  spool.wal(at_, as_bytes(wal).first(50'000));
  static_cast<void>(spool.sync());
  const std::string first = wal;
  wal[49'999] ^= 1;
  spool.begin({1}, at_);
  spool.wal(at_, as_bytes(wal).first(40'000));
  spool.wal({at_.value + 40'000}, as_bytes(wal).subspan(40'000, 20'000));
  EXPECT_EQ(test::code_of([&] { static_cast<void>(spool.sync()); }), ErrorCode::kDamaged);
  EXPECT_EQ(as_text(spool.tail("", 0)->bytes.view()), first.substr(0, 50'000));
}

// What was only estimated (a power cut may have left a wrong half of the last page) is not called
// another history, and what the server sends again replaces it.
TEST_F(WalSpoolTest, AnEstimateIsReplacedByWhatTheServerSends) {
  const std::string folder = (place_.path() / "s").string();
  std::string wal = test::made_wal({1}, at_, {kSegment}, 'a');
  {
    WalSpool spool(folder, {kSegment}, 8 * kSegment);
    spool.begin({1}, at_);
    spool.wal(at_, as_bytes(wal).first(16'000));
    static_cast<void>(spool.sync());
  }
  wal[15'999] ^= 1;
  WalSpool spool(folder, {kSegment}, 8 * kSegment);
  spool.begin({1}, at_);
  spool.wal(at_, as_bytes(wal).first(16'000));
  static_cast<void>(spool.sync());
  EXPECT_FALSE(spool.tail(kFirst, 16'000).has_value());
  spool.wal({at_.value + 16'000}, as_bytes(wal).subspan(16'000, 100));
  static_cast<void>(spool.sync());
  const auto tail = spool.tail(kFirst, 16'000);
  ASSERT_TRUE(tail.has_value());
  EXPECT_EQ(tail->begin, 0U);
  EXPECT_EQ(as_text(tail->bytes.view()), wal.substr(0, 16'100));
}

// A segment that could not be finished is received again, not left out.
TEST_F(WalSpoolTest, AFailureAtTheEndOfASegmentDoesNotSkipIt) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  std::filesystem::create_directories(place_.path() / "s" / kFirst / "in the way");
  spool.begin({1}, at_);
  EXPECT_THROW(spool.wal(at_, as_bytes(text(kSegment, 'a'))), Error);
  ASSERT_TRUE(spool.resume().has_value());
  EXPECT_EQ(spool.resume()->lsn, at_);
}

// A commit is a message, and thousands come in a second.
TEST_F(WalSpoolTest, SmallMessagesAreWrittenTogether) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  const std::string part = spool.part_path(kFirst);
  spool.begin({1}, at_);
  receive(spool, 1000, 'a');
  receive(spool, 1000, 'b');
  EXPECT_FALSE(std::filesystem::exists(part));
  EXPECT_EQ(spool.sync(), at_);
  EXPECT_EQ(std::filesystem::file_size(part), 2000U);
  for (int i = 0; i < 200; ++i) {
    receive(spool, 1000, 'c');
  }
  EXPECT_GE(std::filesystem::file_size(part), 100'000U) << "not only when it is asked for";
  EXPECT_EQ(spool.durable_bytes(), 2000U);
  EXPECT_EQ(spool.sync(), at_);
  EXPECT_EQ(as_text(spool.tail("", 0)->bytes.view()),
            text(1000, 'a') + text(1000, 'b') + text(200'000, 'c'));
}

// Neither is what could not be written called durable, nor is its segment left out, when much of
// the next one had been received as well.
TEST_F(WalSpoolTest, WhatCouldNotBeWrittenIsReceivedAgain) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  const postgres::Lsn start = at_;
  spool.begin({1}, start);
  receive(spool, 1000, 'a');
  EXPECT_EQ(spool.sync(), at_);
  const postgres::Lsn durable = at_;
  receive(spool, 1000, 'a');
  std::filesystem::create_directories(place_.path() / "s" / kFirst / "in the way");
  EXPECT_THROW(receive(spool, kSegment + 1000, 'b'), Error);
  EXPECT_EQ(spool.resume()->lsn, start);
  EXPECT_THROW(receive(spool, 10, 'c'), Error) << "what was between is lost";

  std::filesystem::remove_all(place_.path() / "s" / kFirst);
  at_ = start;
  spool.begin({1}, start);
  EXPECT_EQ(spool.reached()->lsn, durable);
  receive(spool, 2000, 'a');
  receive(spool, kSegment - 2000, 'b');
  EXPECT_EQ(content(spool, kFirst), text(2000, 'a') + text(kSegment - 2000, 'b'));
}

// Finished, or taken away by whoever looks after the disk, while its beginning is to be stored.
TEST_F(WalSpoolTest, OfAnUnfinishedSegmentThatIsNotThereAnyMoreThereIsNoTail) {
  WalSpool spool((place_.path() / "s").string(), {kSegment}, 8 * kSegment);
  spool.begin({1}, at_);
  spool.end_timeline();
  EXPECT_EQ(spool.waiting(), 0U) << "nothing has come of it";
  receive(spool, 1000, 'a');
  static_cast<void>(spool.sync());
  ASSERT_TRUE(spool.tail("", 0));
  const std::string part = spool.path(kFirst) + ".part";
  std::filesystem::resize_file(part, 999);
  EXPECT_FALSE(spool.tail("", 0));
  std::filesystem::remove(part);
  EXPECT_FALSE(spool.tail("", 0));
}

TEST_F(WalSpoolTest, HistoriesWaitWithTheSegmentsAndTakeNoRoom) {
  const std::string folder = (place_.path() / "s").string();
  const std::string history = "1\t0/5000000\tno recovery target specified\n";
  {
    WalSpool spool(folder, {kSegment}, kSegment);
    spool.keep_history({2}, history);
    spool.keep_history({2}, history);
    EXPECT_EQ(spool.waiting(), 1U);
    EXPECT_EQ(spool.bytes(), 0U);
    EXPECT_TRUE(spool.wants_more());
  }
  WalSpool spool(folder, {kSegment}, kSegment);
  spool.begin({2}, at_);
  receive(spool, kSegment, 'a');
  EXPECT_THAT(spool.whole(), ElementsAre("00000002.history", "000000020000000000000005"));
  EXPECT_EQ(content(spool, "00000002.history"), history);
  spool.remove("00000002.history");
  EXPECT_EQ(spool.waiting(), 1U);
  EXPECT_EQ(spool.bytes(), kSegment);
  EXPECT_FALSE(std::filesystem::exists(place_.path() / "s/spare")) << "a history is no segment";
}

TEST_F(WalSpoolTest, TellsTheSizeOfItsSegments) {
  const std::string folder = (place_.path() / "s").string();
  {
    WalSpool spool(folder, {kSegment}, 8 * kSegment);
    EXPECT_EQ(WalSpool::segment_size(folder).bytes, 16U << 20);
    spool.keep_history({2}, "1\t0/5000000\tno recovery target specified\n");
    spool.begin({1}, at_);
    spool.wal(at_, as_bytes(test::made_wal({1}, at_, {kSegment}, 'a')).first(100));
    static_cast<void>(spool.sync());
  }
  EXPECT_EQ(WalSpool::segment_size(folder).bytes, kSegment);
}

}  // namespace
}  // namespace salvor
