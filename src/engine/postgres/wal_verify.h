// Is the WAL unbroken from each backup on, and how far does it reach?
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/postgres/wal_archive.h"
#include "model/node.h"

namespace salvor {

// How far WAL carries one backup, along its own timeline and every one that branches off later.
struct BackupReach {
  PhysicalBackup backup;
  // The reachable end on the newest timeline that the backup can follow; the backup's own stop when
  // there is no WAL.
  postgres::Timeline timeline;
  postgres::Lsn end;
  // With the pieces of an unfinished segment behind `end`.
  std::optional<postgres::Lsn> tail_end = {};
  std::vector<std::string>
      missing;  // first segment of each hole, on the way to the newest timeline
};

struct WalReport {
  std::vector<WalTimeline> timelines;
  std::vector<BackupReach> backups;
  uint64_t segments = 0;
  std::vector<std::string> damaged;  // with `read_data`: what does not verify, and why
  [[nodiscard]] bool good() const;
};

[[nodiscard]] WalReport verify_wal(const Context& context, const WalArchive& archive,
                                   const std::vector<PhysicalBackup>& backups, bool read_data);

// The reach of one backup on the way to `target` (a timeline in `timelines`, or the backup's own).
[[nodiscard]] BackupReach reach_of(const PhysicalBackup& backup,
                                   const std::vector<WalTimeline>& timelines,
                                   postgres::Timeline target, postgres::SegmentSize segment_size);
// The backup with which the WAL begins that is to be kept: that of all backups, or, with `since`,
// what recovery to any moment from then on needs. `backups`: at least one, oldest stop first.
[[nodiscard]] const PhysicalBackup& oldest_needed(const std::vector<PhysicalBackup>& backups,
                                                  const std::vector<WalTimeline>& timelines,
                                                  std::optional<WallTime> since);

// The WAL segments that make a backup consistent and that its snapshot itself holds, in pg_wal.
struct WalInside {
  uint64_t segments = 0;
  std::string missing;  // the first that is not there; empty: all are
};
[[nodiscard]] WalInside wal_inside(const Tree& pg_wal, const postgres::BackupFacts& facts);

// The newest timeline that the backup can follow.
[[nodiscard]] postgres::Timeline newest_timeline(const PhysicalBackup& backup,
                                                 const std::vector<WalTimeline>& timelines);

}  // namespace salvor
