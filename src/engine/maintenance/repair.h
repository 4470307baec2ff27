// Repairs: the index from packs, packs from their sound blobs, snapshots from what can be read.
//
// Nothing is changed in place. New objects are stored and durable beside the old ones before the
// old ones go, in the order of prune; a repair that is interrupted is simply run again.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/snapshot.h"
#include "repo/write_session.h"

namespace salvor {

class Repository;

struct RepairOptions {
  WriteOptions write;
  unsigned threads = 2;
  // Called before each phase that removes: throws when the lock is no longer held.
  std::function<void()> confirm_lock;
};

struct IndexRepair {
  std::vector<IndexId> unreadable_files;  // left out of the new index
  std::vector<PackId> added;              // no index listed them
  std::vector<PackId> reread;             // listed wrongly
  std::vector<PackId> missing;            // listed, but not there: taken out
  // Their headers do not verify. Those that an index lists stay listed, so that repair_packs can
  // save what is left of them; the others are not.
  std::vector<PackId> unreadable_packs;
  size_t index_files_removed = 0;
  size_t packs_read = 0;

  [[nodiscard]] bool changed() const { return index_files_removed > 0 || packs_read > 0; }
};

// Makes the index agree with the packs that are stored. Reads the headers of packs that no index
// lists, or that have another size than listed; of all packs with `read_all_packs`. Hold an
// exclusive lock. The repository's index in memory is out of date afterwards.
[[nodiscard]] IndexRepair repair_index(const Context& context, Repository& repository,
                                       bool read_all_packs, const RepairOptions& options);

struct PackRepair {
  size_t blobs_saved = 0;
  std::vector<BlobHandle> lost;  // damaged, and no other pack lists them
  size_t packs_removed = 0;
};

// Copies the sound blobs of damaged packs into new packs, then takes the damaged ones out of the
// index and removes them. Blobs are taken from where the index, and the pack's own header, say they
// are. Keep a copy of the packs first. Hold an exclusive lock. Throws Error{kNotFound}, before
// anything is changed, for a pack that is neither stored nor listed.
[[nodiscard]] PackRepair repair_packs(const Context& context, Repository& repository,
                                      std::span<const PackId> packs, const RepairOptions& options);

struct SnapshotRepair {
  SnapshotId old_id;
  // What was done to files and directories: "file /a/b: removed missing content".
  std::vector<std::string> changes;
  uint64_t changes_not_listed = 0;  // beyond ten thousand
  // Nothing when nothing had to be changed, when the root itself is lost, or on a dry run.
  std::optional<SnapshotId> new_id;
  bool root_lost = false;
  bool removed = false;  // the old snapshot

  [[nodiscard]] bool damaged() const { return root_lost || !changes.empty(); }
};

struct SnapshotRepairOptions {
  RepairOptions repair;
  bool dry_run = false;
  bool forget = false;  // remove the snapshots that were replaced, and those without a root
};

// Makes, for each snapshot that refers to what is missing or impossible, a new one without it:
// files lose the missing content, directories that cannot be read become empty, impossible nodes
// go. New snapshots name the old ones as `original` and get the tag "repaired" (not with `forget`,
// as in restic). Hold an exclusive lock and load the index (after repair_index) first.
[[nodiscard]] std::vector<SnapshotRepair> repair_snapshots(
    const Context& context, Repository& repository, std::span<const StoredSnapshot> snapshots,
    const SnapshotRepairOptions& options);

}  // namespace salvor
