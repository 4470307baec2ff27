// Proof that a PostgreSQL recovery point is one: restored into a sandbox, started, recovered,
// looked into. The outcome is recorded in the repository:
//
//   salvor/journal/postgresql-<system id>/proofs/<time>-<snapshot>
//
// one JSON object each (docs/format.md), so that whoever reads the repository knows what is proven.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "engine/postgres/postgres_inspect.h"
#include "engine/postgres/postgres_restore.h"

namespace salvor {

struct ProofOptions {
  PostgresRestoreOptions restore;  // target: an empty directory inside the sandbox
  std::vector<Assertion> assertions;
  bool amcheck = true;
  bool count_rows = true;
  std::string program_version;
};

struct Proof {
  uint64_t system_identifier = 0;
  SnapshotId snapshot;
  std::string target;      // what was asked for
  std::string reached;     // until when transactions are there, by the server's words; or ""
  postgres::Lsn position;  // the end of the log after recovery
  std::string server_version;
  WallTime at;
  double files_seconds = 0;
  double recovery_seconds = 0;
  double checks_seconds = 0;
  uint64_t bytes = 0;
  std::vector<ProofCheck> checks;
  std::string failure;  // why there is no recovered server
  std::string program_version;
  [[nodiscard]] bool proven() const;
};

// Blocks until it is known. A recovery that fails is an outcome, not an exception; being stopped, a
// storage that is away, or a sandbox that the server cannot get to, is one.
[[nodiscard]] Proof prove_recovery(const Context& context, Repository& repository,
                                   const WalArchive& archive, const RecoveryPlan& plan,
                                   ProofOptions options);

[[nodiscard]] std::string format_proof(const Proof& proof);
// Durable on return.
void record_proof(const Context& context, const Repository& repository, const Proof& proof);

// Makes a directory and what is missing above it. A server that root starts runs as another user
// and has to get through to a sandbox below: of root they are open for passing (0711), of anybody
// else closed (0700), whatever the umask. What is there stays as it is. Throws Error, kPermission
// where there can be none.
void make_passable(const std::string& directory);

// Whom the cluster of a backup belongs to when root has restored it (by name where this machine
// knows it), so whom its server runs as. Root where the backup does not say. The index is loaded.
[[nodiscard]] std::pair<uid_t, gid_t> cluster_owner(const Context& context,
                                                    const Repository& repository,
                                                    const BlobId& data_directory);

// Throws Error{kPermission} that names the directory in the way and what to do, when a server of
// that user, started by root, cannot get to `path`. It is tried out, so that access lists count.
void require_passage(const std::string& path, const std::pair<uid_t, gid_t>& user);

// A directory for a restore that is to be thrown away: made below `parent`, gone with this object.
// What killed runs left there is removed first.
class Sandbox {
 public:
  explicit Sandbox(const std::string& parent);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  // It stays when this object goes.
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace salvor
