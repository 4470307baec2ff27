// Names and promises that a snapshot carries as tags, so that every restic shows them and copies
// take them along:
//   salvor:label=pre-migration                  a name to restore it by
//   salvor:keep-until=2026-11-28T10:00:00Z      a policy does not forget it before; or =forever
// Naming a snapshot (`forget <id>`) forgets it all the same: that is somebody's decision. restic
// knows nothing of these; there, give --keep-tag.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace salvor {

// The tags for --label and --keep; empty ones give none. `keep` is "forever" or a calendar span
// ("7d"), counted from `now`. Throws Error{kUsage}.
[[nodiscard]] std::vector<std::string> label_tags(const std::string& label, const std::string& keep,
                                                  const Timestamp& now);
[[nodiscard]] bool has_label(const Snapshot& snapshot, std::string_view label);
// Whether it is to be kept at `now`; a date that cannot be read keeps it.
[[nodiscard]] bool kept_by_tag(const Snapshot& snapshot, WallTime now);

}  // namespace salvor
