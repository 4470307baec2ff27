// Makes new snapshots from stored ones: without some files, with other metadata, with a summary.
//
// A tree is read, encoded again and compared with itself before it is changed: one that holds what
// we do not know (a newer restic's fields) would silently lose it, so it is refused. Trees that do
// not change keep their ids; a change of metadata alone reads no trees at all.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/context.h"
#include "engine/restore/restore_options.h"
#include "model/snapshot.h"
#include "repo/write_session.h"

namespace salvor {

class Repository;

struct RewriteOptions {
  RestoreSelection selection = {};  // what stays; includes and excludes are not combined
  bool snapshot_summary = false;    // files and bytes, where the snapshot has none
  std::string new_host = {};        // empty: as it was
  std::optional<Timestamp> new_time = {};
  bool forget = false;  // remove the old snapshot, once the new one is durable
  bool dry_run = false;
  unsigned threads = 2;     // that load trees
  WriteOptions write = {};  // confirm_lock belongs here; dry_run is set from the above
  // Called for each file or directory that is left out.
  std::function<void(const std::string& location)> on_removed = {};
};

struct RewriteResult {
  bool changed = false;  // on a dry run: would be
  std::optional<SnapshotId> new_id;
};

// The index must be loaded and a lock held, an exclusive one for `forget`. The new snapshot's
// `original` is always the old one's id; it gets the tag "rewrite" unless the old one is forgotten.
// A selection by includes that leaves nothing changes nothing. Throws Error{kFailed} for a tree
// that cannot be encoded without losing information, Error{kDamaged} for one that cannot be read;
// then nothing has changed.
[[nodiscard]] RewriteResult rewrite_snapshot(const Context& context, Repository& repository,
                                             const StoredSnapshot& old,
                                             const RewriteOptions& options);

}  // namespace salvor
