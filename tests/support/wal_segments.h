// WAL segments that no server wrote, for tests of what reads them: with filler, or record by
// record.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

#include "connector/postgres/lsn.h"
#include "connector/postgres/wal_segment.h"
#include "crypto/crc32c.h"

namespace salvor::test {

inline constexpr uint64_t kMadeSystem = 7'000'000'000'000'000'001;

// The segment of `timeline` that starts at `start`: the headers of its pages are right, between
// them is filler.
[[nodiscard]] inline std::string made_wal(postgres::Timeline timeline, postgres::Lsn start,
                                          postgres::SegmentSize size, char fill,
                                          uint64_t system = kMadeSystem) {
  std::string wal(size.bytes, fill);
  const auto put = [&wal](size_t at, auto number) {
    std::memcpy(wal.data() + at, &number, sizeof number);
  };
  constexpr uint16_t kVersion15 = 0xD110;
  for (size_t page = 0; page < wal.size(); page += postgres::kWalPageBytes) {
    put(page, kVersion15);
    put(page + 2, static_cast<uint16_t>(page == 0 ? 2 : 0));  // the first has a long header
    put(page + 4, timeline.value);
    put(page + 8, start.value + page);
    put(page + 16, uint64_t{0});
  }
  put(24, system);
  put(32, size.bytes);
  put(36, static_cast<uint32_t>(postgres::kWalPageBytes));
  return wal;
}

inline constexpr size_t kWalSegment = 1U << 20;
inline constexpr size_t kWalPage = 8192;
inline constexpr uint64_t kWalSystem = 4711;

// One segment. A record that does not fit is cut off at its end, and can be begun again in the next
// one (`rest`).
class SegmentMaker {
 public:
  // `rest`: what a record of the segment before has left over.
  explicit SegmentMaker(uint64_t segment = 3, uint32_t timeline = 1, const std::string& rest = "")
      : start_(segment * kWalSegment),
        bytes_(made_wal({timeline}, {start_}, {kWalSegment}, '\0', kWalSystem)) {
    if (!rest.empty()) {
      put<uint16_t>(2, 2 | 1);
      put<uint32_t>(16, rest.size());
      write(rest);
    }
  }

  // `info` and `manager` with `data` as the record's own. Returns where it begins.
  postgres::Lsn record(uint8_t manager, uint8_t info, const std::string& data) {
    std::string text(24, '\0');
    text += data.size() < 256 ? std::string{char(255), char(data.size())}
                              : std::string(1, char(254)) + number<uint32_t>(data.size());
    text += data;
    text.replace(0, 4, number<uint32_t>(text.size()));
    text[16] = char(info);
    text[17] = char(manager);
    Crc32c crc;
    crc.update(as_bytes(std::string_view(text).substr(24)));
    crc.update(as_bytes(std::string_view(text).substr(0, 20)));
    text.replace(20, 4, number<uint32_t>(crc.value()));
    at_ = (at_ + 7) / 8 * 8;
    const postgres::Lsn begin{start_ + at_};
    write(text);
    return begin;
  }
  postgres::Lsn commit(std::chrono::microseconds since_2000) {
    return record(1, 0x80, number<int64_t>(since_2000.count()) + std::string(12, 'x'));
  }
  // Heap records, until about `bytes` are left.
  void fill_up_to(size_t bytes) {
    while (at_ + bytes + 400 < kWalSegment) {
      record(10, 0, std::string(300, 'h'));
    }
  }
  // A crash: the rest of the last record never came, the server goes on at the next page.
  void give_up(size_t bytes_of_record) {
    at_ = (at_ + 7) / 8 * 8;
    const std::string begun = number<uint32_t>(30000) + std::string(bytes_of_record - 4, 'g');
    write(begun);
    at_ = (at_ + kWalPage - 1) / kWalPage * kWalPage;
    put<uint16_t>(at_ + 2, 8);
  }

  [[nodiscard]] std::string& bytes() { return bytes_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] size_t at() const { return at_; }
  // What did not fit of the last record.
  [[nodiscard]] const std::string& rest() const { return rest_; }

  template <class Number>
  [[nodiscard]] static std::string number(uint64_t value) {
    const auto small = static_cast<Number>(value);
    std::string text(sizeof small, '\0');
    std::memcpy(text.data(), &small, sizeof small);
    return text;
  }

 private:
  void write(const std::string& text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (at_ % kWalPage == 0 && at_ < kWalSegment) {
        at_ += 24;
      }
      if (at_ >= kWalSegment) {
        rest_ = text.substr(i);
        return;
      }
      bytes_[at_++] = text[i];
    }
  }
  template <class Number>
  void put(size_t at, uint64_t value) {
    bytes_.replace(at, sizeof(Number), number<Number>(value));
  }

  uint64_t start_;
  std::string bytes_;
  std::string rest_;
  size_t at_ = 40;
};

}  // namespace salvor::test
