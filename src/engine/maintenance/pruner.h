// Removes what no snapshot needs, and repacks what is mostly waste.
//
// Order of durability (docs/durability.md): new packs -> new index -> old index goes -> old packs
// go. Whatever moment a prune is killed at, every snapshot restores, and the next prune goes on
// from there: packs already copied are found as complete duplicates and kept.
//
// Under restic's exclusive lock no other restic or Salvor works on the repository. Programs that
// know no locks (rustic) may. Against those there are two measures:
// 1. Before anything is removed the snapshots and index files are listed again, and what has been
//    added meanwhile must not need what is about to go.
// 2. With `keep_delete` removal takes two runs, as in rustic (ADR 0006): the first takes packs out
// of
//    the index and marks them there with the time; a later one, `keep_delete` after, removes them,
//    or takes them back if a backup that ran during the first has come to need them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "engine/maintenance/prune_plan.h"
#include "repo/write_session.h"
#include "storage/storage.h"

namespace salvor {

class Repository;

// Read at any time from any thread.
struct PruneProgress {
  std::atomic<uint64_t> trees = 0;
  std::atomic<uint64_t> packs_repacked = 0;
  std::atomic<uint64_t> packs_to_repack = 0;
  std::atomic<uint64_t> bytes_repacked = 0;  // sealed bytes that were copied
};

// rustic's own default.
inline constexpr std::chrono::seconds kKeepDeleteBesideRustic = std::chrono::hours(23);

// How long ago temporary files were last written to that a prune removes. No upload takes so long.
inline constexpr std::chrono::seconds kLeftoverAge = std::chrono::hours(24);

struct PruneOptions {
  PruneLimits limits;  // repository_version is filled in
  WriteOptions write;  // for repacked data; pack size and compression
  unsigned threads = 2;
  // As if these were gone already (`forget --dry-run --prune`).
  std::vector<SnapshotId> ignore_snapshots;
  // How long packs stay after they were taken out of the index. Longer than any backup by a program
  // without locks may run. Unset: kKeepDeleteBesideRustic when rustic made one of the snapshots
  // or packs are marked already, else zero.
  std::optional<std::chrono::seconds> keep_delete;
  // For a storage that has no room for even a new index: the old index files are removed first. A
  // prune that is interrupted then leaves a repository without index; `repair index` makes a new
  // one. Repacks nothing.
  bool recover_no_free_space = false;
  // Called before each phase that removes: throws when the lock is no longer held
  // (RepositoryLock::confirm).
  std::function<void()> confirm_lock;
  PruneProgress* progress = nullptr;
};

// Packs that nobody needs, but which the storage will not let go yet. In `plan().statistics` they
// are counted as packs.locked.
struct LockedPacks {
  uint64_t held = 0;              // by a legal hold, without an end
  std::optional<WallTime> first;  // when the first and the last can be removed
  std::optional<WallTime> last;
};

struct PruneResult {
  uint64_t packs_removed = 0;
  uint64_t packs_written = 0;
  uint64_t index_files_removed = 0;
  uint64_t packs_marked = 0;  // taken out of the index, to be removed later
  uint64_t packs_recovered = 0;
  uint64_t leftovers_removed = 0;
  uint64_t not_removed =
      0;  // objects and left-overs that could not be removed; the next prune tries again
};

// Not thread-safe. Hold an exclusive lock (a dry run may do without).
class Pruner {
 public:
  Pruner(const Context& context, Repository& repository, PruneOptions options);
  ~Pruner();

  // Loads index and snapshots, marks what is used and decides. Changes nothing. Throws
  // Error{kDamaged} when a snapshot or tree cannot be read, or a blob or pack that is needed is
  // missing: nothing may be removed from a repository that has lost something.
  [[nodiscard]] const PrunePlan& plan();
  // The pack that `plan().fates[number]` is about.
  [[nodiscard]] const PackId& pack(size_t number) const;
  // Temporary files of writers that died, which `execute` removes, once `plan` has decided. Only
  // known when there is a lock to tell the time.
  [[nodiscard]] const std::vector<Leftover>& leftovers() const;
  // What stays because it is locked, once `plan` has decided.
  [[nodiscard]] const LockedPacks& locked() const;
  // How long packs will stay, once `plan` has decided.
  [[nodiscard]] std::chrono::seconds keep_delete() const;
  // Carries the plan out; once. The repository's index in memory is out of date afterwards. Throws
  // Error{kFailed} when another program has begun to use what was about to be removed; every pack
  // that an index listed is then still there.
  PruneResult execute();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
