// The recovery points of a PostgreSQL source: its physical backups and the log behind them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/stores/store_site.h"
#include "engine/postgres/recovery_target.h"
#include "engine/postgres/wal_moment.h"

namespace salvor::cli {

// What the repository holds of one source's cluster.
struct PostgresPoints {
  std::vector<PhysicalBackup> backups;  // of one cluster, oldest stop first
  std::optional<WalArchive> archive;    // nothing without backups
  std::vector<WalTimeline> timelines;
};

// Backups with the source's tag; others of the same cluster (made by `salvor postgres backup`)
// count too. Without any tagged one, those of the only cluster that the repository holds. Where the
// source has had several clusters (a new one after pg_upgrade), the one of the newest backup.
[[nodiscard]] PostgresPoints postgres_points(const StoreSite& site, const Context& context,
                                             const Repository& repository, const SourceSpec& source,
                                             DamagedSnapshots damaged = DamagedSnapshots::kLeftOut);

// Newest first.
[[nodiscard]] std::vector<RecoveryRange> ranges_of(const Context& context,
                                                   const PostgresPoints& points);

// A moment, as recovery takes it.
struct ChosenRecovery {
  RecoveryTarget target;
  RecoveryPlan plan;
  WallTime reached;  // until when the data will be, where that is known beforehand
};
// With what it was chosen from.
struct RecoveryOfSource {
  PostgresPoints points;  // with an archive
  ChosenRecovery chosen;
};
// A moment that has only just passed is waited for, up to fifteen seconds behind it: streams store
// what they have every few seconds. Throws Error that says what can be reached when the moment
// cannot.
[[nodiscard]] RecoveryOfSource choose_recovery(const StoreSite& site, const Context& context,
                                               const Repository& repository,
                                               const SourceSpec& source, const RestoreOrder& order);

}  // namespace salvor::cli
