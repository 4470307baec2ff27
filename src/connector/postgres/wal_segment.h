// What a WAL segment says about itself in its first page (access/xlog_internal.h).
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

inline constexpr size_t kWalPageBytes = 8192;
inline constexpr size_t kWalHeaderBytes = 40;

struct WalSegmentHeader {
  uint16_t magic = 0;          // differs from major version to major version
  unsigned major_version = 0;  // 13 to 18; 0: unknown magic
  Timeline timeline;
  Lsn address;  // of the page, that is of the segment
  uint64_t system_identifier = 0;
  SegmentSize segment_size;
};

// Whether `header`, kWalPageHeaderBytes or more, begins the page at `address` of that timeline or
// of one before it. What a reused file held there says that it is of another place.
inline constexpr size_t kWalPageHeaderBytes = 16;
[[nodiscard]] bool is_wal_page(ByteView header, Timeline timeline, Lsn address);

// From the first kWalHeaderBytes or more. Throws Error{kDamaged} when they are no first page of a
// segment.
[[nodiscard]] WalSegmentHeader parse_wal_segment(ByteView bytes);

// Throws Error{kDamaged} unless `content` is what a file of this name should hold: the length, the
// place in the log, a timeline not newer than the name's. The rest of the content is not judged.
[[nodiscard]] WalSegmentHeader check_wal_segment(const WalFileName& name, ByteView content);

}  // namespace salvor::postgres
