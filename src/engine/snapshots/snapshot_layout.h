// Which made-up directories lead to which snapshot: the upper part of what `mount` shows.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/go_time_layout.h"
#include "model/snapshot.h"

namespace salvor {

// restic's templates: %i short id, %I id, %u user, %h host, %t each tag, %T time.
struct SnapshotLayoutOptions {
  std::vector<std::string> path_templates = {"ids/%i", "snapshots/%T", "hosts/%h/%T", "tags/%t/%T"};
  // Go's layout, or, with a '%' in it, strftime's. In the snapshot's own zone.
  std::string time_template{kRfc3339Layout};
};

// A made-up entry: a directory of others, a snapshot's root (`tree`), or a link.
struct LayoutEntry {
  std::map<std::string, LayoutEntry> children;
  std::optional<BlobId> tree;
  Timestamp time;
  std::string link;
};

// Throws Error{kUsage} for templates that cannot name anything. Call it before opening anything.
void check_layout(const SnapshotLayoutOptions& options);

// `snapshots` in ascending order of time. Templates that end with %T get a link `latest` beside the
// times; names that are taken get "-1", "-2" ...; '/', "." and ".." in a snapshot's own texts
// become
// '_'. Directories that do not depend on a snapshot exist even when empty.
[[nodiscard]] LayoutEntry lay_out(const SnapshotLayoutOptions& options,
                                  const std::vector<StoredSnapshot>& snapshots);

}  // namespace salvor
