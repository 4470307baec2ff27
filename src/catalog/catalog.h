// What this machine knows of runs and recovery points: a cache of the repository's run records
// (repo/run_records.h), what was last seen of each source's recovery points, and records that could
// not be stored in their repository yet. In SQLite (WAL mode), in the state directory.
//
// Nothing needs it: a backup or a restore goes on without, and all but the records that are still
// to be sent is made from the repository again.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "catalog/database.h"
#include "engine/store.h"
#include "model/run_record.h"

namespace salvor {

struct RunQuery {
  std::optional<RunKind> kind;
  std::string subject;              // empty: any
  std::string repository;           // empty: any
  std::string snapshot;             // empty: any
  WallTime from = WallTime::min();  // by when they started, both inclusive
  WallTime to = WallTime::max();
  size_t limit = std::numeric_limits<size_t>::max();
};

// A source's recovery points as they were found at `at`.
struct SeenRanges {
  WallTime at;
  std::vector<RecoveryRange> ranges;  // newest first
};

// What a repository held for a source at `at`, beside its own: snapshots of the source's
// repository that have a copy there.
struct SeenCopies {
  WallTime at;
  std::vector<std::string> originals;  // ids in the source's repository
};

// What `salvor doctor` found out about a repository's storage at `at`.
struct SeenStorage {
  WallTime at;
  // Whether the credentials in use could not destroy the backups; nothing: it could not be told.
  std::optional<bool> immutable;
  std::string sentence;  // the verdict
};

// How far the records of a repository are known.
struct SyncState {
  std::string repository;  // its id: another repository may be configured under the name
  WallTime whole;          // when all of its records were looked for
  WallTime latest;         // when those of the last days were
};

// Thread-compatible. Several processes may have it open. All calls throw what database.h says.
class Catalog {
 public:
  // `directory` is made when absent, the file for its owner alone. A file that is damaged is set
  // aside (`set_aside`) and an empty one begun. Throws Error when that is impossible, or the file
  // is of a newer Salvor.
  [[nodiscard]] static Catalog open(const Context& context, const std::string& directory);
  // One that is gone with the process.
  [[nodiscard]] static Catalog in_memory();
  // As `open`; where that fails, in memory, with a warning that says so.
  [[nodiscard]] static Catalog open_or_do_without(const Context& context,
                                                  const std::string& directory);

  // Where a damaged file went; empty: there was none.
  [[nodiscard]] const std::string& set_aside() const { return set_aside_; }
  // There is no file behind it: what it holds was read just now.
  [[nodiscard]] bool transient() const { return transient_; }
  [[nodiscard]] const std::string& path() const { return database_.path(); }

  // --- runs. A record that is known already stays as it is, but becomes `stored`.
  void add(const RunRecord& record, bool stored);
  void add(const std::vector<RunRecord>& records, bool stored);  // one transaction
  [[nodiscard]] bool contains(const std::string& id);
  [[nodiscard]] std::optional<RunRecord> find(const std::string& id);
  // Of `positions` (repo/run_records.h) those whose run is not known, in their order.
  [[nodiscard]] std::vector<std::string> unknown(const std::vector<std::string>& positions);
  // Those that are not in their repository yet, oldest first.
  [[nodiscard]] std::vector<RunRecord> unsent(const std::string& repository);
  // Newest first.
  [[nodiscard]] std::vector<RunRecord> runs(const RunQuery& query);
  [[nodiscard]] std::optional<RunRecord> last_run(RunKind kind, const std::string& subject);
  [[nodiscard]] size_t count_runs();

  // --- what was seen
  void see_ranges(const std::string& source, const SeenRanges& seen);
  [[nodiscard]] std::optional<SeenRanges> seen_ranges(const std::string& source);
  void see_copies(const std::string& source, const std::string& repository, const SeenCopies& seen);
  [[nodiscard]] std::optional<SeenCopies> seen_copies(const std::string& source,
                                                      const std::string& repository);

  void see_storage(const std::string& repository, const SeenStorage& seen);
  [[nodiscard]] std::optional<SeenStorage> seen_storage(const std::string& repository);
  void set_sync_state(const std::string& name, const SyncState& state);
  [[nodiscard]] std::optional<SyncState> sync_state(const std::string& name);

  // Forgets all but the records that are not sent yet.
  void clear();

 private:
  explicit Catalog(Database database) : database_(std::move(database)) {}
  void migrate();

  Database database_;
  std::string set_aside_;
  std::shared_ptr<void> presence_;  // a shared lock: whoever sets the file aside wants to be alone
  bool transient_ = false;
};

}  // namespace salvor
