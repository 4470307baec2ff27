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
#include <vector>

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

// Blocks until it is known. A recovery that fails is an outcome, not an exception; being stopped,
// or a storage that is away, is one.
[[nodiscard]] Proof prove_recovery(const Context& context, Repository& repository,
                                   const WalArchive& archive, const RecoveryPlan& plan,
                                   ProofOptions options);

[[nodiscard]] std::string format_proof(const Proof& proof);
// Durable on return.
void record_proof(const Context& context, const Repository& repository, const Proof& proof);

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
