// Copying snapshots between two opened repositories, with what is said about it: for copy and
// import.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/session.h"
#include "engine/snapshots/snapshot_filter.h"
#include "repo/repository.h"

namespace salvor::cli {

struct CopyParties {
  Context context;  // stops when a lock is lost
  Repository& source;
  Repository& target;
  std::function<void(const Context&)> confirm_locks;
};

// Copies those of the selection that the target lacks, then the log that belongs to physical
// backups of PostgreSQL in the target (engine/wal_copy.h), and says so on the terminal. Snapshots
// that cannot be read are reported and count as errors of the run.
void copy_missing_snapshots(Session& session, const CopyParties& parties,
                            const std::vector<std::string>& ids, const SnapshotFilter& filter);

}  // namespace salvor::cli
