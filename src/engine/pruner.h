// Removes what no snapshot needs, and repacks what is mostly waste.
//
// Order of durability (docs/durability.md): new packs -> new index -> old index goes -> old packs
// go. Whatever moment a prune is killed at, every snapshot restores, and the next prune goes on
// from there: packs already copied are found as complete duplicates and kept.
//
// Under restic's exclusive lock no other restic or Salvor works on the repository. Programs that
// know no locks (rustic) may; so before anything is removed the snapshots and index files are
// listed again, and what has been added meanwhile must not need what is about to go.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "engine/prune_plan.h"
#include "repo/write_session.h"

namespace salvor {

class Repository;

// Read at any time from any thread.
struct PruneProgress {
  std::atomic<uint64_t> trees = 0;
  std::atomic<uint64_t> packs_repacked = 0;
  std::atomic<uint64_t> packs_to_repack = 0;
  std::atomic<uint64_t> bytes_repacked = 0;  // sealed bytes that were copied
};

struct PruneOptions {
  PruneLimits limits;  // repository_version is filled in
  WriteOptions write;  // for repacked data; pack size and compression
  unsigned threads = 2;
  // As if these were gone already (`forget --dry-run --prune`).
  std::vector<SnapshotId> ignore_snapshots;
  // For a storage that has no room for even a new index: the old index files are removed first. A
  // prune that is interrupted then leaves a repository without index; `repair index` makes a new
  // one. Repacks nothing.
  bool recover_no_free_space = false;
  // Called before each phase that removes: throws when the lock is no longer held
  // (RepositoryLock::confirm).
  std::function<void()> confirm_lock;
  PruneProgress* progress = nullptr;
};

struct PruneResult {
  uint64_t packs_removed = 0;
  uint64_t packs_written = 0;
  uint64_t index_files_removed = 0;
  uint64_t not_removed = 0;  // objects that could not be removed; the next prune tries again
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
  // Carries the plan out; once. The repository's index in memory is out of date afterwards. Throws
  // Error{kFailed} when another program has begun to use what was about to be removed; everything
  // is then still there.
  PruneResult execute();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
