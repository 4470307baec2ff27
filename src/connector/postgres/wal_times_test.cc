#include "connector/postgres/wal_times.h"

#include <cstring>

#include <gtest/gtest.h>

#include "base/error.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {
namespace {

constexpr size_t kSegment = 1U << 20;
constexpr size_t kPage = 8192;

// Records laid into the pages of one segment, as a server does.
class SegmentMaker {
 public:
  SegmentMaker() : bytes_(kSegment, '\0') {
    for (size_t page = 0; page < kSegment; page += kPage) {
      put<uint16_t>(page, 0xD110);
      put<uint16_t>(page + 2, page == 0 ? 2 : 0);
      put<uint32_t>(page + 4, 1);
      put<uint64_t>(page + 8, kSegment * 3 + page);
    }
    put<uint64_t>(24, 4711);
    put<uint32_t>(32, kSegment);
    put<uint32_t>(36, kPage);
  }

  // `info` and `manager` with `data` as the record's own.
  void record(uint8_t manager, uint8_t info, const std::string& data) {
    std::string text(24, '\0');
    text += data.size() < 256 ? std::string{char(255), char(data.size())}
                              : std::string(1, char(254)) + number<uint32_t>(data.size());
    text += data;
    const std::string size = number<uint32_t>(text.size());
    text.replace(0, 4, size);
    text[16] = char(info);
    text[17] = char(manager);
    Crc32c crc;
    crc.update(as_bytes(std::string_view(text).substr(24)));
    crc.update(as_bytes(std::string_view(text).substr(0, 20)));
    text.replace(20, 4, number<uint32_t>(crc.value()));
    at_ = (at_ + 7) / 8 * 8;
    for (const char c : text) {
      if (at_ % kPage == 0) {
        at_ += 24;
      }
      bytes_[at_++] = c;
    }
  }
  void commit(std::chrono::seconds since_2000) {
    record(1, 0x80, number<int64_t>(since_2000.count() * 1'000'000) + std::string(12, 'x'));
  }
  std::string& bytes() { return bytes_; }
  [[nodiscard]] WalTimes times() const { return wal_times(as_bytes(bytes_)); }
  [[nodiscard]] size_t at() const { return at_; }

  template <class Number>
  static std::string number(uint64_t value) {
    const auto small = static_cast<Number>(value);
    std::string text(sizeof small, '\0');
    std::memcpy(text.data(), &small, sizeof small);
    return text;
  }

 private:
  template <class Number>
  void put(size_t at, uint64_t value) {
    bytes_.replace(at, sizeof(Number), number<Number>(value));
  }

  std::string bytes_;
  size_t at_ = 40;
};

WallTime at(int seconds) {  // since 2000
  return WallTime(std::chrono::seconds(946'684'800 + seconds));
}

TEST(WalTimes, TellsTheLastCommitAndCheckpoint) {
  SegmentMaker segment;
  EXPECT_FALSE(segment.times().latest);
  segment.commit(std::chrono::seconds(100));
  segment.record(10, 0, std::string(300, 'h'));  // a heap record
  segment.commit(std::chrono::seconds(200));
  std::string checkpoint(88, '\0');
  checkpoint.replace(64, 8, SegmentMaker::number<int64_t>(946'684'800 + 260));
  segment.record(0, 0x10, checkpoint);
  segment.record(1, 0x20, SegmentMaker::number<int64_t>(250'000'000));  // an abort
  EXPECT_EQ(segment.times().last_commit, at(200));
  EXPECT_EQ(segment.times().latest, at(260));
}

TEST(WalTimes, FollowsRecordsOverPages) {
  SegmentMaker segment;
  for (int i = 0; i < 50; ++i) {
    segment.record(10, 0, std::string(static_cast<size_t>(700 * i), 'h'));
    segment.commit(std::chrono::seconds(i));
  }
  EXPECT_GT(segment.at(), 100 * kPage);
  EXPECT_EQ(segment.times().last_commit, at(49));
}

TEST(WalTimes, EndsAtWhatIsNotWhole) {
  SegmentMaker segment;
  segment.commit(std::chrono::seconds(1));
  const size_t good = segment.at();
  segment.commit(std::chrono::seconds(2));
  segment.bytes()[good + 30] ^= 1;
  segment.commit(std::chrono::seconds(3));
  EXPECT_EQ(segment.times().last_commit, at(1));
  EXPECT_THROW((void)wal_times(as_bytes(std::string(kSegment, 'x'))), Error);
}

}  // namespace
}  // namespace salvor::postgres
