// To which moment a PostgreSQL cluster is recovered, and from which backup that is possible.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/postgres/wal_verify.h"

namespace salvor {

enum class TargetKind : uint8_t {
  kLatest,     // all the WAL there is
  kImmediate,  // the end of the backup
  kTime,
  kLsn,
  kTransaction,  // a transaction id
  kName,         // pg_create_restore_point
};

struct RecoveryTarget {
  TargetKind kind = TargetKind::kLatest;
  WallTime time;      // kTime
  postgres::Lsn lsn;  // kLsn
  std::string text;   // kTransaction, kName
  bool inclusive = true;
  std::optional<postgres::Timeline> timeline;  // else the newest that the backup leads to
  bool own_timeline = false;                   // stay on the backup's

  // "2026-11-21 08:00:00.000000+00", for people and for recovery_target_time.
  [[nodiscard]] std::string display() const;
  // All recovery_target settings as name and value, those that do not apply empty: a server refuses
  // more than one.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings() const;
};

// "2026-11-21 08:00:00.5+01:00", "2026-11-21T08:00:00Z", "20261121-080000"; without a zone, local
// time. Throws Error{kUsage}.
[[nodiscard]] WallTime parse_target_time(std::string_view text);

struct RecoveryPlan {
  PhysicalBackup backup;
  BackupReach reach;         // on the way to the target's timeline
  postgres::Timeline line;   // the target's timeline
  bool has_history = false;  // of `line`: the archive has it, or needs none

  // Those of `target`, on the planned timeline: "latest" would be the one that is the newest when
  // the server looks, be it one to which this backup does not lead.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(
      const RecoveryTarget& target) const;
};

// A server takes the first record that it cannot read for the end of the log. What is wrong with a
// recovery to the end that was promoted to a timeline of this history; nothing when it got to the
// last record that is known to be there.
[[nodiscard]] std::optional<std::string> ended_early(const RecoveryPlan& plan,
                                                     std::optional<postgres::Lsn> last_record,
                                                     const postgres::TimelineHistory& promoted);

// The newest backup from which `target` can be reached on the newest timeline that any of them
// leads to: `named` when that is set. Damaged backups are taken only when named. Throws
// Error{kNotFound} or Error{kFailed} when none can, or the named one cannot; the hint says which
// one can or what there is. For a transaction or a name nobody can know beforehand: the newest is
// taken, and recovery fails when it does not meet the target.
[[nodiscard]] RecoveryPlan plan_recovery(const std::vector<PhysicalBackup>& backups,
                                         const std::vector<WalTimeline>& timelines,
                                         postgres::SegmentSize segment_size,
                                         const RecoveryTarget& target,
                                         const std::optional<SnapshotId>& named);

}  // namespace salvor
