// global/pg_control: what a cluster knows about itself. PostgreSQL 13 to 18 on little-endian 64-bit
// machines.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

inline constexpr size_t kControlFileBytes = 8192;

// pg_control's "state".
enum class ClusterState : uint32_t {
  kStartup = 0,
  kShutDown = 1,
  kShutDownInRecovery = 2,
  kShuttingDown = 3,
  kCrashRecovery = 4,
  kArchiveRecovery = 5,
  kInProduction = 6,
};

struct ControlFile {
  uint64_t system_identifier = 0;  // given by initdb; names the cluster
  uint32_t control_version = 0;
  uint32_t catalog_version = 0;
  unsigned major_version = 0;  // 13 to 18; 0: unknown catalog
  ClusterState state = ClusterState::kStartup;
  Lsn checkpoint;
  Lsn redo;  // of the last checkpoint
  Timeline timeline;
  int64_t checkpoint_time = 0;  // seconds since 1970
  Lsn minimum_recovery;
  Lsn backup_start;  // set while a restored backup is not yet consistent
  uint32_t block_bytes = 0;
  SegmentSize segment_size;
  bool page_checksums = false;
};

// Throws Error{kDamaged} when the size, CRC or version is wrong: a copy taken while the server
// wrote it (read it again), or damage.
[[nodiscard]] ControlFile parse_control_file(ByteView bytes);

}  // namespace salvor::postgres
