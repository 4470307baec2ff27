// Copies snapshots between two repositories that have different keys.
//
// Blobs are copied byte for byte: they are unsealed, checked against their ids and sealed anew,
// never decoded and encoded again, so a tree has the same id on both sides whoever wrote it. Only
// blobs that the target lacks are read, pack by pack in merged ranges on several threads.
//
// Order: all blobs of a batch of snapshots, their index, then the snapshots of the batch. What an
// interrupted copy has uploaded is indexed and found by the next one.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/context.h"
#include "model/snapshot.h"
#include "repo/write_session.h"

namespace salvor {

class Repository;

struct CopyProgress {
  std::atomic<uint64_t> trees = 0;
  std::atomic<uint64_t> blobs = 0;  // to copy so far found
  std::atomic<uint64_t> blobs_copied = 0;
  std::atomic<uint64_t> bytes = 0;  // stored size in the source of `blobs`
  std::atomic<uint64_t> bytes_copied = 0;
};

struct CopyOptions {
  unsigned threads = 2;
  WriteOptions write = {};  // of the target; confirm_lock belongs here
  // Ask the target for everything again before it counts as copied: each new pack in its full
  // length, each snapshot and its root tree verified (V1). Not for targets that cannot be read yet.
  bool confirm = true;
  CopyProgress* progress = nullptr;
  // Called on the caller's thread: before a snapshot's blobs are copied, when it is known what is
  // to copy (blobs, stored bytes), and when its copy is durable.
  std::function<void(const StoredSnapshot&)> on_start = {};
  std::function<void(const StoredSnapshot&, uint64_t, uint64_t)> on_planned = {};
  std::function<void(const StoredSnapshot&, const SnapshotId&)> on_saved = {};
};

// The source has lost something that `snapshot` needs.
class SourceDamaged : public Error {
 public:
  explicit SourceDamaged(const Error& why) : Error(why) {}
  SnapshotId snapshot;
};

// Both indexes must be loaded and locks held on both sides. Memory: 4 bytes for each blob that the
// target lacks, and some MiB a thread. Not thread-safe.
class Replicator {
 public:
  Replicator(const Context& context, const Repository& source, Repository& target,
             CopyOptions options);
  ~Replicator();

  // In the order given. A copy has no parent (it means nothing there), and its `original` is the
  // first id that the snapshot had. Throws SourceDamaged when a blob has no good copy in the
  // source: then neither the snapshot that needs it is stored, nor others of its batch.
  void copy(std::span<const StoredSnapshot> snapshots);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// As Replicator::copy, but leaves out the snapshots of which the source has lost something, and
// returns what it says of each: one old snapshot that is damaged must not keep the new ones from
// having a copy. For each of them the target's index is loaded anew.
[[nodiscard]] std::vector<SourceDamaged> copy_what_is_whole(
    const Context& context, const Repository& source, Repository& target,
    const CopyOptions& options, std::span<const StoredSnapshot> snapshots);

// What to say, and to do, about `lost` (not empty); `all` were to be copied.
[[nodiscard]] Error not_all_copied(std::span<const SourceDamaged> lost, size_t all);

// The snapshot in `target` that `source` was copied to before, or nullptr: one that has the same
// persistent id (`original`, else its own) and differs in nothing but parent, original, program
// version and summary.
[[nodiscard]] const StoredSnapshot* find_copy(std::span<const StoredSnapshot> target,
                                              const StoredSnapshot& source);

}  // namespace salvor
