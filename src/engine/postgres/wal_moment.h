// Until when the WAL behind a backup knows what was committed.
#pragma once

#include "engine/postgres/wal_verify.h"

namespace salvor {

struct WalMoment {
  // What was committed until then, the repository has.
  WallTime until;
  // The last commit, where it is near the end: recovering to it or any moment from there to `until`
  // is recovering to the end (a server that finds no later commit says that it missed its target).
  std::optional<WallTime> last_commit;
};

// The end of `reach`, which includes the pieces of an unfinished segment behind it. Reads up to
// `most_segments` of them, from the last back to one that says a time; when none does, the backup's
// own stop.
[[nodiscard]] WalMoment end_of_wal(const Context& context, const WalArchive& archive,
                                   const std::vector<WalTimeline>& timelines,
                                   const BackupReach& reach, unsigned most_segments = 8);

}  // namespace salvor
