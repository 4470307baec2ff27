#include "connector/postgres/wal_times.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "connector/postgres/wal_segment.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {
namespace {

constexpr size_t kShortPageHeader = 24;
constexpr size_t kRecordHeader = 24;
constexpr size_t kRecordCrc = 20;
// Flags of a page.
constexpr uint16_t kContinued = 1;    // XLP_FIRST_IS_CONTRECORD
constexpr uint16_t kOverwritten = 8;  // XLP_FIRST_IS_OVERWRITE_CONTRECORD
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

// The records' bytes, without the headers of the pages that they run over. Positions are counted
// from the begin of the first segment on.
class PageReader {
 public:
  PageReader(ByteView segment, ByteView next, Lsn address)
      : segment_(segment), next_(next), address_(address), at_(kWalHeaderBytes) {}

  // Where the next record begins, what fills up to there skipped.
  size_t next_record() {
    at_ = (at_ + 7) & ~size_t{7};
    return at_;
  }
  // `begins`: with the record's first byte.
  bool read(size_t bytes, Buffer& into, bool begins) { return take(bytes, &into, begins); }
  // Skips what the segment before has begun.
  bool skip(size_t bytes) { return take(bytes, nullptr, false); }
  // Whether reading failed because the server, after a crash, gave the record up and went on with
  // another one on its next page, which is where this reader is then.
  bool given_up() { return std::exchange(given_up_, false); }

 private:
  bool take(size_t bytes, Buffer* into, bool begins) {
    while (bytes > 0) {
      if (at_ % kWalPageBytes == 0) {
        if (!is_written()) {
          return false;
        }
        if (!begins && (load<uint16_t>(rest_of_page(), 2) & kOverwritten) != 0) {
          given_up_ = true;
          return false;
        }
        at_ += at_ == segment_.size() ? kWalHeaderBytes : kShortPageHeader;
      }
      begins = false;
      const ByteView page = rest_of_page();
      if (page.empty()) {
        return false;
      }
      const size_t part = std::min(bytes, page.size());
      if (into != nullptr) {
        into->append(page.first(part));
      }
      at_ += part;
      bytes -= part;
    }
    return true;
  }
  [[nodiscard]] ByteView rest_of_page() const {
    const bool behind = at_ >= segment_.size();
    const ByteView bytes = behind ? next_ : segment_;
    const size_t at = behind ? at_ - segment_.size() : at_;
    return at >= bytes.size()
               ? ByteView()
               : bytes.subspan(
                     at, std::min(bytes.size(), at - at % kWalPageBytes + kWalPageBytes) - at);
  }
  // Whether the page that begins here is there, and not left from an earlier use of the file. Else
  // zeros might pass for a record's last bytes, of which its checksum knows nothing if they are.
  [[nodiscard]] bool is_written() const {
    const ByteView page = rest_of_page();
    return page.size() >= kShortPageHeader && load<uint64_t>(page, 8) == address_.value + at_;
  }

  ByteView segment_;
  ByteView next_;
  Lsn address_;
  size_t at_;
  bool given_up_ = false;
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

// Whether the next record, of at most `limit` bytes, is whole.
bool read_record(PageReader& pages, size_t limit, Buffer& record) {
  record.resize(0);
  if (!pages.read(kRecordHeader, record, true)) {
    return false;
  }
  const size_t size = load<uint32_t>(record.view(), 0);
  if (size < kRecordHeader || size > limit || !pages.read(size - kRecordHeader, record, false)) {
    return false;
  }
  Crc32c crc;
  crc.update(record.view().subspan(kRecordHeader));
  crc.update(record.view().first(kRecordCrc));
  return crc.value() == load<uint32_t>(record.view(), kRecordCrc);
}

}  // namespace

WalTimes wal_times(ByteView segment, ByteView next, std::optional<Lsn> end) {
  const WalSegmentHeader header = parse_wal_segment(segment);
  WalTimes times;
  PageReader pages(segment, next, header.address);
  if ((load<uint16_t>(segment, 2) & kContinued) != 0 && !pages.skip(load<uint32_t>(segment, 16)) &&
      !pages.given_up()) {
    return times;
  }
  Buffer record;
  for (;;) {
    const size_t at = pages.next_record();
    const Lsn begin{header.address.value + at};
    if (at >= segment.size() || (end && begin >= *end)) {
      return times;
    }
    if (read_record(pages, segment.size() + next.size(), record)) {
      look_at(record.view(), times);
      times.last_record = begin;
    } else if (!pages.given_up()) {
      return times;
    }
  }
}

}  // namespace salvor::postgres
