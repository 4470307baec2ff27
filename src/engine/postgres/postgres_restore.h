// Brings a PostgreSQL cluster back: files, WAL, recovery to a moment, proof that it is there.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "connector/postgres/backup_label.h"
#include "connector/postgres/local_server.h"
#include "engine/postgres/recovery_target.h"
#include "engine/restore/restore_progress.h"
#include "repo/repository.h"

namespace salvor {

class WalServer;

// What happens when the target directory holds a cluster already.
enum class ExistingCluster : uint8_t {
  kRefuse,
  kMoveAside,  // renamed to <target>.before-<time>: nothing is lost
  kDelta,      // the same, and what it has of the backup already is copied from there
  kOverwrite,  // changed into the restored one: only what differs is written; it is lost
};

enum class AfterRecovery : uint8_t {
  kPromote,  // recovered, promoted, checked, stopped: ready to be started as usual
  kPause,  // recovered up to the target, checked, stopped; starting it again goes to the same place
           // and waits
  kNone,   // files and settings only; recovery begins when somebody starts it
};

struct PostgresRestoreOptions {
  std::string target;
  RecoveryTarget recovery;
  ExistingCluster existing = ExistingCluster::kRefuse;
  AfterRecovery after = AfterRecovery::kPromote;
  std::vector<std::pair<std::string, std::string>> tablespaces;  // old path -> new path
  std::string tablespaces_in;  // new home of those not named: <this>/<oid>; empty: where they were
  std::string binaries;        // empty: looked for
  std::string superuser = "postgres";
  std::vector<std::pair<std::string, std::string>> settings;  // for our server only
  // The original lives on, or may: this cluster must never archive under the same name. Its
  // settings get archive_mode = off.
  bool copy = false;
  std::string program;                    // this one, for restore_command
  std::string restore_command;            // what kPause and kNone leave in the cluster's settings
  std::chrono::seconds limit{24 * 3600};  // for recovery
  // kMoveAside: the end of the old data's new name, "<path>.before-<aside>"; empty: the time. Where
  // that name is taken, an earlier run of this restore moved the old data there: this one finishes
  // what that one began.
  std::string aside = {};
  // Told of each such move when it was made (or found made), also where the restore fails later.
  std::function<void(const std::string& from, const std::string& to)> on_moved = {};
  bool no_network = false;  // our server may not talk to anybody; where the system allows that
  // Called while the recovered and checked server still runs, with the folder of its programs. What
  // it throws fails the restore.
  std::function<void(const postgres::LocalServer&, const std::string& binaries)> inspect = {};
  // Told what happens, one sentence a step.
  std::function<void(const std::string&)> on_step;
};

struct PostgresRestoreResult {
  std::string moved_aside;  // where the old cluster is now; empty: there was none
  // All that was moved: data directory and tablespaces, from and to.
  std::vector<std::pair<std::string, std::string>> moved;
  std::string stopped;          // the server's words about where recovery ended; may be empty
  postgres::Timeline timeline;  // the cluster's now
  uint64_t databases = 0;       // that were opened and read
  uint64_t restored_bytes = 0;
  uint64_t written_bytes = 0;
  std::chrono::duration<double> files_time{};     // restoring the files took
  std::chrono::duration<double> recovery_time{};  // from starting the server to having recovered
  std::string last_transaction;  // the server's words: when the last one that it replayed ended
};

// Runs one restore. The caller has planned it (plan_recovery), loaded the index and may hold a
// lock. An interrupted run leaves a directory that no server starts from (there is no pg_control
// until the end) and that says so (.salvor-restore); run it again with kDelta or kOverwrite.
class PostgresRestorer {
 public:
  PostgresRestorer(Repository& repository, const WalArchive& archive)
      : repository_(repository), archive_(archive) {}

  // Throws Error when the cluster is not what was asked for: it is never promoted then.
  [[nodiscard]] PostgresRestoreResult run(const Context& context, const RecoveryPlan& plan,
                                          const PostgresRestoreOptions& options);

 private:
  struct Place;  // a directory to be filled, and from what

  [[nodiscard]] std::vector<postgres::TablespaceLocation> read_map(const Context& context,
                                                                   const BlobId& tree) const;
  [[nodiscard]] std::vector<Place> places(const Context& context, const BlobId& tree,
                                          const PostgresRestoreOptions& options);
  static void require_cluster(const Place& place);
  void require_own_tablespaces(const Context& context, const std::vector<Place>& places,
                               const PostgresRestoreOptions& options) const;
  void require_space(const Context& context, const Place& place) const;
  [[nodiscard]] bool is_unfinished(const Place& place, const PostgresRestoreOptions& options,
                                   PostgresRestoreResult& result);
  void make_room(const Context& context, Place& place, const PostgresRestoreOptions& options,
                 PostgresRestoreResult& result);
  void change_in_place(Place& place, const PostgresRestoreOptions& options, bool unfinished) const;
  static void note_moved(const Place& place, const std::string& aside,
                         const PostgresRestoreOptions& options, PostgresRestoreResult& result);
  void note_begun(const std::string& data) const;
  void seed_places(const Context& context, const std::vector<Place>& places,
                   const PostgresRestoreOptions& options) const;
  [[nodiscard]] bool move_aside(Place& place, const PostgresRestoreOptions& options,
                                PostgresRestoreResult& result) const;
  void restore_files(const Context& context, const std::vector<Place>& places,
                     const PostgresRestoreOptions& options, PostgresRestoreResult& result);
  void prepare(const RecoveryPlan& plan, const PostgresRestoreOptions& options) const;
  [[nodiscard]] static std::chrono::duration<double> wait_for_recovery(
      const Context& context, const RecoveryPlan& plan, const PostgresRestoreOptions& options,
      postgres::LocalServer& server, const WalServer& wal);
  void require_whole_way(const Context& context, const RecoveryPlan& plan,
                         const PostgresRestoreOptions& options, postgres::LocalServer& server,
                         const PostgresRestoreResult& result) const;
  void recover(const Context& context, const RecoveryPlan& plan,
               const PostgresRestoreOptions& options, PostgresRestoreResult& result) const;

  Repository& repository_;
  const WalArchive& archive_;
  std::vector<postgres::TablespaceLocation> map_;  // with the new places
  // Places that are being filled, and where what was there is kept ("": nowhere).
  std::vector<std::pair<std::string, std::string>> begun_;
};

// Throws Error{kFailed} when a server runs on the data directory.
void require_stopped(const std::string& data);

}  // namespace salvor
