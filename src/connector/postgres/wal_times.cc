#include "connector/postgres/wal_times.h"

#include <algorithm>
#include <cstring>

#include "connector/postgres/wal_segment.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {
namespace {

constexpr size_t kShortPageHeader = 24;
constexpr size_t kRecordHeader = 24;
constexpr size_t kRecordCrc = 20;
constexpr uint16_t kContinued = 1;  // XLP_FIRST_IS_CONTRECORD
// Resource managers.
constexpr uint8_t kXlog = 0;
constexpr uint8_t kTransaction = 1;
// Numbers of a record's parts.
constexpr uint8_t kShortData = 255;
constexpr uint8_t kLongData = 254;
constexpr uint8_t kOrigin = 253;
constexpr uint8_t kTopTransaction = 252;
constexpr size_t kCheckpointTime = 64;
// 2000-01-01 in seconds since 1970.
constexpr int64_t kPostgresEpoch = 946'684'800;

template <class Number>
Number load(ByteView bytes, size_t offset) {
  Number number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

// The records' bytes, without the headers of the pages that they run over.
class PageReader {
 public:
  explicit PageReader(ByteView segment) : segment_(segment), at_(kWalHeaderBytes) {}

  // Skips what the segment before has begun, and what fills up to the next record.
  bool skip(size_t bytes) { return take(bytes, nullptr); }
  void align() { at_ = (at_ + 7) & ~size_t{7}; }
  bool read(size_t bytes, Buffer& into) { return take(bytes, &into); }

 private:
  bool take(size_t bytes, Buffer* into) {
    while (bytes > 0) {
      if (at_ % kWalPageBytes == 0) {
        at_ += kShortPageHeader;
      }
      if (at_ >= segment_.size()) {
        return false;
      }
      const size_t page_end = std::min(segment_.size(), at_ - at_ % kWalPageBytes + kWalPageBytes);
      const size_t part = std::min(bytes, page_end - at_);
      if (into != nullptr) {
        into->append(segment_.subspan(at_, part));
      }
      at_ += part;
      bytes -= part;
    }
    return true;
  }

  ByteView segment_;
  size_t at_;
};

// The data that belongs to the record as a whole: its last part.
std::optional<ByteView> main_data(ByteView record) {
  size_t at = kRecordHeader;
  while (at < record.size()) {
    const auto part = load<uint8_t>(record, at);
    if (part == kShortData && at + 2 <= record.size()) {
      const size_t size = load<uint8_t>(record, at + 1);
      return at + 2 + size <= record.size() ? std::optional(record.last(size)) : std::nullopt;
    }
    if (part == kLongData && at + 5 <= record.size()) {
      const size_t size = load<uint32_t>(record, at + 1);
      return size <= record.size() - at - 5 ? std::optional(record.last(size)) : std::nullopt;
    }
    if (part == kOrigin) {
      at += 3;
    } else if (part == kTopTransaction) {
      at += 5;
    } else {
      return std::nullopt;  // pages: not in the records that are asked for
    }
  }
  return std::nullopt;
}

void look_at(ByteView record, WalTimes& times) {
  const auto info = load<uint8_t>(record, 16);
  const auto manager = load<uint8_t>(record, 17);
  const auto seen = [&times](WallTime time) {
    times.latest = std::max(times.latest.value_or(time), time);
  };
  if (manager == kTransaction) {
    const uint8_t what = info & 0x70U;
    const bool ends = what == 0x00 || what == 0x20 || what == 0x30 || what == 0x40;
    const auto data = ends ? main_data(record) : std::nullopt;
    if (data && data->size() >= 8) {
      const WallTime time = WallTime(std::chrono::seconds(kPostgresEpoch)) +
                            std::chrono::microseconds(load<int64_t>(*data, 0));
      seen(time);
      if (what == 0x00 || what == 0x30) {
        times.last_commit = std::max(times.last_commit.value_or(time), time);
      }
    }
  } else if (manager == kXlog && (info & 0xe0U) == 0) {  // a checkpoint, of a shutdown or not
    const auto data = main_data(record);
    if (data && data->size() >= kCheckpointTime + 8) {
      seen(WallTime(std::chrono::seconds(load<int64_t>(*data, kCheckpointTime))));
    }
  }
}

}  // namespace

WalTimes wal_times(ByteView segment) {
  static_cast<void>(parse_wal_segment(segment));
  WalTimes times;
  PageReader pages(segment);
  if ((load<uint16_t>(segment, 2) & kContinued) != 0 && !pages.skip(load<uint32_t>(segment, 16))) {
    return times;
  }
  Buffer record;
  for (;;) {
    pages.align();
    record.resize(0);
    if (!pages.read(kRecordHeader, record)) {
      return times;
    }
    const size_t size = load<uint32_t>(record.view(), 0);
    if (size < kRecordHeader || size > segment.size() ||
        !pages.read(size - kRecordHeader, record)) {
      return times;
    }
    Crc32c crc;
    crc.update(record.view().subspan(kRecordHeader));
    crc.update(record.view().first(kRecordCrc));
    if (crc.value() != load<uint32_t>(record.view(), kRecordCrc)) {
      return times;
    }
    look_at(record.view(), times);
  }
}

}  // namespace salvor::postgres
