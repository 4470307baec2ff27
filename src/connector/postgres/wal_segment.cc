#include "connector/postgres/wal_segment.h"

#include "base/error.h"

namespace salvor::postgres {
namespace {

constexpr uint16_t kLongHeader = 2;  // XLP_LONG_HEADER
constexpr uint16_t kAnyMagic = 0xD100;
constexpr uint16_t kMagicMask = 0xff00;

template <class Number>
Number load(ByteView bytes, size_t offset) {
  Number number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

unsigned major_of(uint16_t magic) {
  switch (magic) {
    case 0xD106:
      return 13;
    case 0xD10D:
      return 14;
    case 0xD110:
      return 15;
    case 0xD113:
      return 16;
    case 0xD116:
      return 17;
    case 0xD118:
      return 18;
    default:
      return 0;
  }
}

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kDamaged, "not a WAL segment: " + what);
}

}  // namespace

bool is_wal_page(ByteView header, Timeline timeline, Lsn address) {
  if (header.size() < kWalPageHeaderBytes) {
    return false;
  }
  const Timeline own{load<uint32_t>(header, 4)};
  return (load<uint16_t>(header, 0) & kMagicMask) == kAnyMagic && own.value != 0 &&
         own <= timeline && load<uint64_t>(header, 8) == address.value;
}

WalSegmentHeader parse_wal_segment(ByteView bytes) {
  if (bytes.size() < kWalHeaderBytes) {
    fail("it is too short");
  }
  WalSegmentHeader header;
  header.magic = load<uint16_t>(bytes, 0);
  header.major_version = major_of(header.magic);
  // A later version's magic is let through: the archive does not depend on it.
  if ((header.magic & kMagicMask) != kAnyMagic || (load<uint16_t>(bytes, 2) & kLongHeader) == 0) {
    fail("its first page has no segment header");
  }
  header.timeline = {load<uint32_t>(bytes, 4)};
  header.address = {load<uint64_t>(bytes, 8)};
  header.system_identifier = load<uint64_t>(bytes, 24);
  header.segment_size = {load<uint32_t>(bytes, 32)};
  if (!SegmentSize::is_valid(header.segment_size.bytes) ||
      load<uint32_t>(bytes, 36) != kWalPageBytes || header.timeline.value == 0 ||
      header.address.value % header.segment_size.bytes != 0) {
    fail("its segment header is impossible");
  }
  return header;
}

WalSegmentHeader check_wal_segment(const WalFileName& name, ByteView content) {
  const WalSegmentHeader header = parse_wal_segment(content);
  if (content.size() != header.segment_size.bytes) {
    fail("it has " + std::to_string(content.size()) + " bytes instead of " +
         std::to_string(header.segment_size.bytes));
  }
  const Lsn expected = start_of(name.segment, header.segment_size);
  if (header.address != expected) {
    fail("by its name it starts at " + expected.text() + ", by its content at " +
         header.address.text());
  }
  if (header.timeline > name.timeline) {
    fail("by its name it is of timeline " + std::to_string(name.timeline.value) +
         ", by its content of " + std::to_string(header.timeline.value));
  }
  return header;
}

}  // namespace salvor::postgres
