// Snapshots as people read them, alike in every command that lists some.
#pragma once

#include <string>
#include <vector>

#include "cli/output/terminal.h"
#include "engine/snapshots/retention.h"

namespace salvor::cli {

// restic's table of snapshots with its footer; `compact` leaves the paths out. A column of reasons
// ("daily snapshot") is added when `reasons` is not empty; it then has one entry a snapshot.
void print_snapshot_table(Terminal& terminal, const std::vector<StoredSnapshot>& snapshots,
                          bool compact, const std::vector<KeepReason>& reasons = {});

// "snapshots for (host [a], tags [x, y], paths [/p, /q]):", naming what was grouped by.
[[nodiscard]] std::string snapshot_group_title(const SnapshotGroup& group, const GroupBy& by);

// {"hostname":...,"paths":[...]|null,"tags":[...]|null}, restic's "group_key".
void append_group_key(JsonWriter& json, const SnapshotGroup& group);

}  // namespace salvor::cli
