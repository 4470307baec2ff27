#include "connector/postgres/control_file.h"

#include "base/error.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {
namespace {

// Offsets in ControlFileData (catalog/pg_control.h), the same from 13 to 18 but for the CRC: 18 put
// default_char_signedness before it.
constexpr size_t kSystemIdentifier = 0;
constexpr size_t kControlVersion = 8;
constexpr size_t kCatalogVersion = 12;
constexpr size_t kState = 16;
constexpr size_t kCheckpoint = 32;
constexpr size_t kRedo = 40;
constexpr size_t kTimeline = 48;
constexpr size_t kCheckpointTime = 104;
constexpr size_t kMinimumRecovery = 136;
constexpr size_t kBackupStart = 152;
constexpr size_t kBlockSize = 216;
constexpr size_t kSegmentSize = 228;
constexpr size_t kChecksumVersion = 252;
constexpr size_t kCrcUntil17 = 288;
constexpr size_t kCrcFrom18 = 292;

template <class Number>
Number load(ByteView bytes, size_t offset) {
  Number number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

unsigned major_of(uint32_t catalog_version) {
  switch (catalog_version) {
    case 202007201:
      return 13;
    case 202107181:
      return 14;
    case 202209061:
      return 15;
    case 202307071:
      return 16;
    case 202406281:
      return 17;
    case 202506291:
      return 18;
    default:
      return 0;
  }
}

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kDamaged, "pg_control is damaged or being written: " + what);
}

}  // namespace

ControlFile parse_control_file(ByteView bytes) {
  if (bytes.size() != kControlFileBytes) {
    fail("it has " + std::to_string(bytes.size()) + " bytes instead of 8192");
  }
  ControlFile control;
  control.control_version = load<uint32_t>(bytes, kControlVersion);
  if (control.control_version < 1300 || control.control_version >= 1900) {
    throw Error(ErrorCode::kDamaged, "pg_control has version " +
                                         std::to_string(control.control_version) +
                                         ", which is not one of PostgreSQL 13 to 18");
  }
  const size_t crc_at = control.control_version >= 1800 ? kCrcFrom18 : kCrcUntil17;
  if (load<uint32_t>(bytes, crc_at) != crc32c(bytes.first(crc_at))) {
    fail("its checksum is wrong");
  }
  control.system_identifier = load<uint64_t>(bytes, kSystemIdentifier);
  control.catalog_version = load<uint32_t>(bytes, kCatalogVersion);
  control.major_version = major_of(control.catalog_version);
  const auto state = load<uint32_t>(bytes, kState);
  if (state > static_cast<uint32_t>(ClusterState::kInProduction)) {
    fail("its state is unknown");
  }
  control.state = static_cast<ClusterState>(state);
  control.checkpoint = {load<uint64_t>(bytes, kCheckpoint)};
  control.redo = {load<uint64_t>(bytes, kRedo)};
  control.timeline = {load<uint32_t>(bytes, kTimeline)};
  control.checkpoint_time = load<int64_t>(bytes, kCheckpointTime);
  control.minimum_recovery = {load<uint64_t>(bytes, kMinimumRecovery)};
  control.backup_start = {load<uint64_t>(bytes, kBackupStart)};
  control.block_bytes = load<uint32_t>(bytes, kBlockSize);
  control.segment_size = {load<uint32_t>(bytes, kSegmentSize)};
  if (!SegmentSize::is_valid(control.segment_size.bytes)) {
    fail("its WAL segment size is impossible");
  }
  control.page_checksums = load<uint32_t>(bytes, kChecksumVersion) != 0;
  return control;
}

}  // namespace salvor::postgres
