// Where an undelete takes rows from: a logical backup, or a throw-away server that was recovered to
// a moment.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "connector/postgres/local_server.h"
#include "engine/postgres/postgres_restore.h"
#include "engine/postgres/undelete.h"
#include "engine/restore/dump_view.h"

namespace salvor {

class DumpRows final : public PastRows {
 public:
  explicit DumpRows(const DumpView& dump) : dump_(dump) {}
  [[nodiscard]] const postgres::DumpManifest& manifest() const override { return dump_.manifest(); }
  void copy(const Context& context, const postgres::DumpTable& table, postgres::Connection& live,
            const std::string& target) const override;

 private:
  const DumpView& dump_;
};

struct RecoveredRowsOptions {
  std::string scratch;   // a folder for the throw-away cluster; what is made in it is removed again
  std::string database;  // whose rows
  std::optional<SnapshotId> backup;  // else the newest that reaches the moment
  std::optional<uint64_t> system;    // the cluster, where there are several
  PostgresRestoreOptions restore;    // target and existing are set here
};

// Restores a physical backup, recovers it to the moment and starts it on a private socket. It can
// reach nothing and nobody can reach it. Blocks for as long as that takes. The folder is removed
// with this object.
class RecoveredRows final : public PastRows {
 public:
  // Throws what plan_recovery, PostgresRestorer and LocalServer throw.
  RecoveredRows(const Context& context, Repository& repository, RecoveredRowsOptions options);
  ~RecoveredRows() override;

  [[nodiscard]] const postgres::DumpManifest& manifest() const override { return manifest_; }
  void copy(const Context& context, const postgres::DumpTable& table, postgres::Connection& live,
            const std::string& target) const override;

 private:
  void restore(const Context& context, Repository& repository);
  void start(const Context& context);
  void remove_all() noexcept;

  RecoveredRowsOptions options_;
  std::string folder_;  // ours, in scratch
  std::string socket_folder_;
  std::unique_ptr<postgres::LocalServer> server_;
  std::unique_ptr<postgres::Connection> connection_;
  postgres::DumpManifest manifest_;
};

}  // namespace salvor
