// The options and messages that all commands which choose snapshots share.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/session.h"
#include "engine/snapshots/snapshot_filter.h"

namespace salvor::cli {

// --host, --tag and --path.
struct FilterOptions {
  std::vector<std::string> hosts;
  std::vector<std::string> tags;
  std::vector<std::string> paths;

  // Paths are meant from the working directory, as a backup there records them.
  [[nodiscard]] SnapshotFilter filter() const;
};

// The table of those. `short_host`: with -H (not where restic uses -H otherwise, as in forget).
// `when`: added to the help, for example ", when snapshot ID \"latest\" is given".
[[nodiscard]] std::vector<OptionSpec> filter_option_table(FilterOptions& options,
                                                          bool short_host = true,
                                                          const std::string& when = {});

// Says on stderr which arguments named nothing, and that a filter did not count.
void report_ignored(Session& session, const SnapshotSelection& selection);
// Says which snapshots could not be read; they count as errors of the run.
void report_unreadable(Session& session, const std::vector<UnreadableObject>& unreadable);

// The snapshot as a JSON object with restic's fields, plus "id" and "short_id" at the end.
void append_snapshot_json(JsonWriter& json, const StoredSnapshot& snapshot);

// "2026-01-02 15:04:05" in the process's local zone, as restic shows times.
[[nodiscard]] std::string local_time_text(const Timestamp& time);
// "snapshot 1a2b3c4d of [/home /etc] at 2026-01-02 15:04:05 by user@host".
[[nodiscard]] std::string snapshot_text(const StoredSnapshot& stored);

// Runs `body`; what it throws names the snapshot.
template <class Body>
void within_snapshot(const SnapshotId& id, const Body& body) {
  try {
    body();
  } catch (Error& error) {
    if (error.code() != ErrorCode::kCancelled) {
      error.within("snapshot " + id.short_hex());
    }
    throw;
  }
}

}  // namespace salvor::cli
