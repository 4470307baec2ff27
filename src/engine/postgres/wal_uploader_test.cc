#include "engine/postgres/wal_uploader.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"
#include "support/temp_directory.h"
#include "support/wal_segments.h"

namespace salvor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr postgres::SegmentSize kSize{1U << 20};
constexpr const char* kFirst = "000000010000000000000005";
constexpr const char* kSecond = "000000010000000000000006";
constexpr const char* kHistory = "1\t0/600000\tno recovery target specified\n";

class WalUploaderTest : public testing::Test {
 protected:
  [[nodiscard]] static postgres::Lsn start_of(uint64_t segment) { return {segment * kSize.bytes}; }
  [[nodiscard]] static std::string wal(uint64_t segment, char fill, uint32_t timeline = 1,
                                       uint64_t system = test::kMadeSystem) {
    return test::made_wal({timeline}, start_of(segment), kSize, fill, system);
  }
  [[nodiscard]] std::string root() const { return (place_.path() / "spools").string(); }
  [[nodiscard]] std::string folder(uint64_t system = test::kMadeSystem) const {
    return root() + "/" + std::to_string(system);
  }
  [[nodiscard]] WalArchive archive(uint64_t system = test::kMadeSystem) {
    return {small_.repository(), system, kSize};
  }
  [[nodiscard]] std::vector<std::string> archived(uint64_t system = test::kMadeSystem) {
    std::vector<std::string> names;
    for (const JournalEntry& entry : archive(system).journal().list(context_)) {
      names.push_back(entry.position);
    }
    return names;
  }
  [[nodiscard]] std::vector<std::string> warnings() {
    std::vector<std::string> messages;
    for (const Event& event : small_.test_context().events.events()) {
      if (const auto* warning = std::get_if<Warning>(&event)) {
        messages.push_back(warning->message);
      }
    }
    return messages;
  }
  // A stream that was killed: a whole segment, and so much of the next one.
  void leave_behind(uint64_t system, size_t bytes) const {
    WalSpool spool(folder(system), kSize, 8 * kSize.bytes);
    spool.begin({1}, start_of(5));
    spool.wal(start_of(5), as_bytes(wal(5, 'a', 1, system)));
    spool.wal(start_of(6), as_bytes(wal(6, 'b', 1, system)).first(bytes));
    static_cast<void>(spool.sync());
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  test::TempDirectory place_;
};

// The server and its disk are gone; what was acknowledged to it is in the spool and nowhere else.
TEST_F(WalUploaderTest, WhatAStreamLeftIsStoredWithoutAServerOfEveryCluster) {
  constexpr uint64_t kOther = test::kMadeSystem + 1;
  leave_behind(test::kMadeSystem, 50'000);
  leave_behind(kOther, 20'000);
  std::filesystem::create_directories(root() + "/not a cluster");
  {
    const SpoolRescue rescue(context_, small_.repository(), root(), 0);
  }
  for (const uint64_t system : {test::kMadeSystem, kOther}) {
    ASSERT_THAT(archived(system), ElementsAre(kFirst, HasSubstr(std::string(kSecond) + ".tail-")));
    EXPECT_EQ(as_text(archive(system).fetch(context_, kFirst)->view()), wal(5, 'a', 1, system));
    const size_t received = system == kOther ? 20'000 : 50'000;
    const auto tail = archive(system).assemble_tail(context_, kSecond);
    ASSERT_TRUE(tail.has_value());
    EXPECT_EQ(as_text(tail->view().first(received)), wal(6, 'b', 1, system).substr(0, received));
    EXPECT_EQ(std::filesystem::file_size(folder(system) + "/" + kSecond + ".part"), received)
        << "the server may still send the rest";
    EXPECT_FALSE(std::filesystem::exists(folder(system) + "/" + kFirst));
  }
  EXPECT_THAT(warnings(), IsEmpty());
  {
    const SpoolRescue again(context_, small_.repository(), root(), 0);
  }
  EXPECT_EQ(archived().size(), 2U);
}

TEST_F(WalUploaderTest, SpoolsInUseAndTheOwnOneAreLeftAlone) {
  constexpr uint64_t kOther = test::kMadeSystem + 1;
  leave_behind(test::kMadeSystem, 100);
  leave_behind(kOther, 100);
  const WalSpool used(folder(), kSize, 8 * kSize.bytes);
  {
    const SpoolRescue rescue(context_, small_.repository(), root(), kOther);
  }
  EXPECT_THAT(archived(), IsEmpty());
  EXPECT_THAT(archived(kOther), IsEmpty());
  EXPECT_THAT(warnings(), IsEmpty());
}

TEST_F(WalUploaderTest, WhatCannotBeStoredStaysAndIsTold) {
  leave_behind(test::kMadeSystem, 100);
  small_.storage().remove(context_, {ObjectKind::kConfig, ""});  // as if it were not mounted
  {
    const SpoolRescue rescue(context_, small_.repository(), root(), 0);
  }
  EXPECT_TRUE(std::filesystem::exists(folder() + "/" + kFirst));
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("what is left in the spool")));
}

TEST_F(WalUploaderTest, WhatCannotBeStoredWhenTheStreamEndsIsTold) {
  const WalArchive archive = this->archive();
  WalSpool spool(folder(), kSize, 8 * kSize.bytes);
  spool.begin({1}, start_of(5));
  spool.wal(start_of(5), as_bytes(wal(5, 'a')));
  small_.storage().remove(context_, {ObjectKind::kConfig, ""});
  {
    const WalUploader uploader(context_, archive, spool, std::chrono::seconds(3));
  }
  EXPECT_EQ(spool.waiting(), 1U);
  ASSERT_FALSE(warnings().empty());
  EXPECT_THAT(warnings().back(), HasSubstr("WAL cannot be stored"));
}

// The server may be gone for good: what it sent last must not wait for its turn.
TEST_F(WalUploaderTest, TheTailIsStoredAtOnceWhenTheConnectionHasEnded) {
  const WalArchive archive = this->archive();
  WalSpool spool(folder(), kSize, 8 * kSize.bytes);
  spool.begin({1}, start_of(6));
  spool.wal(start_of(6), as_bytes(wal(6, 'b')).first(20'000));
  static_cast<void>(spool.sync());
  WalUploader uploader(context_, archive, spool, std::chrono::hours(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_THAT(archived(), IsEmpty()) << "it is not due for an hour";
  uploader.hurry();
  for (int tries = 0; archived().empty() && tries < 100; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_THAT(archived(), ElementsAre(HasSubstr(std::string(kSecond) + ".tail-")));
}

// Goes when it is told to.
class HandClock final : public Clock {
 public:
  [[nodiscard]] WallTime now() const override { return SystemClock().now(); }
  [[nodiscard]] MonotonicTime monotonic() const override { return begun_ + passed_.load(); }
  void pass(std::chrono::nanoseconds time) { passed_ = passed_.load() + time; }

 private:
  const MonotonicTime begun_ = SystemClock().monotonic();
  std::atomic<std::chrono::nanoseconds> passed_ = std::chrono::nanoseconds(0);
};

// It would be stored twice. Also what is not durable yet tells how fast it comes.
TEST_F(WalUploaderTest, OfASegmentThatWillSoonBeWholeNoPieceIsStored) {
  const WalArchive archive = this->archive();
  WalSpool spool(folder(), kSize, 8 * kSize.bytes);
  const std::string segment = wal(6, 'b');
  const size_t some = kSize.bytes / 10;
  const size_t most = kSize.bytes * 9 / 10;
  spool.begin({1}, start_of(6));
  spool.wal(start_of(6), as_bytes(segment).first(some));
  static_cast<void>(spool.sync());
  spool.wal({start_of(6).value + some}, as_bytes(segment).subspan(some, most - some));
  HandClock clock;
  const Context context{{}, context_.events, clock, context_.random};
  const WalUploader uploader(context, archive, spool, std::chrono::seconds(10));
  // Nine tenths in twelve seconds: the last one is due in one and a third.
  clock.pass(std::chrono::seconds(12));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_THAT(archived(), IsEmpty());
  // It was not.
  clock.pass(std::chrono::seconds(3));
  for (int tries = 0; archived().empty() && tries < 100; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_THAT(archived(), ElementsAre(HasSubstr(std::string(kSecond) + ".tail-")));
}

// The server's own archive_command was quicker.
TEST_F(WalUploaderTest, NoPieceIsStoredOfASegmentThatIsArchived) {
  leave_behind(test::kMadeSystem, 50'000);
  static_cast<void>(archive().push(context_, kSecond, as_bytes(wal(6, 'b'))));
  {
    const SpoolRescue rescue(context_, small_.repository(), root(), 0);
  }
  EXPECT_THAT(archived(), ElementsAre(kFirst, kSecond));
}

// Pieces of a stream that was killed are replaced by the segment, too.
TEST_F(WalUploaderTest, PiecesFromBeforeGoWithTheirSegment) {
  leave_behind(test::kMadeSystem, 50'000);
  {
    const SpoolRescue rescue(context_, small_.repository(), root(), 0);
  }
  const WalArchive archive = this->archive();
  WalSpool spool(folder(), kSize, 8 * kSize.bytes);
  SpoolStore store(context_, archive, spool);
  spool.begin({1}, start_of(6));
  spool.wal(start_of(6), as_bytes(wal(6, 'b')));
  EXPECT_EQ(store.store_whole(), 1U);
  EXPECT_THAT(archived(), ElementsAre(kFirst, kSecond));
}

// Without its history a timeline's segments are of no use: none is stored before it.
TEST_F(WalUploaderTest, AHistoryIsStoredBeforeItsTimeline) {
  const WalArchive archive = this->archive();
  WalSpool spool(folder(), kSize, 8 * kSize.bytes);
  SpoolStore store(context_, archive, spool);
  spool.keep_history({2}, kHistory);
  spool.begin({2}, start_of(6));
  spool.wal(start_of(6), as_bytes(wal(6, 'b', 2)).first(20'000));
  static_cast<void>(spool.sync());
  EXPECT_FALSE(store.store_tail());
  EXPECT_THAT(archived(), IsEmpty());
  EXPECT_EQ(store.store_whole(), 1U);
  EXPECT_THAT(archived(), ElementsAre("00000002.history"));
  EXPECT_EQ(as_text(archive.fetch(context_, "00000002.history")->view()), kHistory);
  EXPECT_TRUE(store.store_tail());
  EXPECT_EQ(archived().size(), 2U);
}

// Stream and archive_command have each come as far as they have when a timeline ends. Whoever is
// second must not be stopped by that: a server that cannot archive fills its disk.
TEST_F(WalUploaderTest, AnotherUnfinishedLastSegmentHoldsNothingUp) {
  const std::string partial = std::string(kSecond) + ".partial";
  static_cast<void>(archive().push(context_, partial, as_bytes(wal(6, 'x'))));
  const WalArchive archive = this->archive();
  WalSpool spool(folder(), kSize, 8 * kSize.bytes);
  spool.begin({1}, start_of(6));
  spool.wal(start_of(6), as_bytes(wal(6, 'b')).first(20'000));
  spool.end_timeline();
  spool.keep_history({2}, kHistory);
  {
    const WalUploader uploader(context_, archive, spool, std::chrono::seconds(3));
  }
  EXPECT_EQ(spool.waiting(), 0U);
  EXPECT_THAT(archived(), ElementsAre(partial, "00000002.history"));
  EXPECT_EQ(as_text(archive.fetch(context_, partial)->view()), wal(6, 'x'))
      << "the first one stays";
  EXPECT_THAT(warnings(), ElementsAre(HasSubstr("another " + partial)));

  // Of a whole segment there is one content, or two histories.
  static_cast<void>(archive.push(context_, kFirst, as_bytes(wal(5, 'a'))));
  EXPECT_THROW(static_cast<void>(archive.push(context_, kFirst, as_bytes(wal(5, 'x')))),
               JournalConflict);
}

}  // namespace
}  // namespace salvor
