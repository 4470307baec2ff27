// Until when the WAL behind a backup knows what was committed.
#pragma once

#include "engine/postgres/recovery_target.h"

namespace salvor {

struct WalMoment {
  // What was committed until then, the repository has.
  WallTime until;
  // The last commit, as far as was looked for it.
  std::optional<WallTime> last_commit;
  std::optional<postgres::Lsn> last_record;  // where the last whole record begins
};

// The end of `reach`, which includes the pieces of an unfinished segment behind it. Reads segments
// from the last back to one that has a commit: up to eight of them, or, with `asked`, as many as it
// takes to know whether something was committed after that. When none says a time, the backup's own
// stop.
[[nodiscard]] WalMoment end_of_wal(const Context& context, const WalArchive& archive,
                                   const std::vector<WalTimeline>& timelines,
                                   const BackupReach& reach, std::optional<WallTime> asked = {});

// What a server is told to recover to a moment in `plan`, of whose log `end` is the end: nothing
// but that moment where something was committed later, otherwise the last record of now. (A server
// that finds no later commit says that it has missed its target; and without any target it would
// also take what is archived while the files are restored.)
[[nodiscard]] RecoveryTarget time_target(WallTime moment, const WalMoment& end,
                                         const RecoveryPlan& plan);

}  // namespace salvor
