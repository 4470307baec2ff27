// A running cluster as a Source: the data directory, by BASE_BACKUP, with the WAL that makes it
// consistent.
//
// The snapshot's root is the data directory. Tablespaces are directories pg_tblspc/<oid>/ in it,
// and tablespace_map says where they were. Nothing is trusted to have arrived: sizes and checksums
// of all files are compared with the server's manifest, the WAL is checked to reach from start to
// stop, and pages are checked as they pass. Bad pages make the run incomplete and mark the backup;
// anything else that is wrong means that there is no backup.
//
// Needs on the server: a role with REPLICATION, a pg_hba.conf line for `replication`, two free
// max_wal_senders and one of max_replication_slots (a temporary slot keeps the WAL until it has
// been sent; without one the backup still fails rather than being incomplete). A connection to a
// database is used, if it can be had, to learn the server's time and the names of damaged
// relations.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "connector/postgres/backup_facts.h"
#include "connector/postgres/base_backup.h"
#include "connector/postgres/cluster_source.h"
#include "connector/postgres/connection.h"
#include "connector/postgres/incremental_plan.h"
#include "connector/source.h"

namespace salvor::postgres {

struct PhysicalOptions {
  ConnectionTarget target;
  std::string label = "salvor";
  bool fast_checkpoint = true;
  uint32_t max_rate_kib = 0;
  // Tags beside those that BackupFacts gives come from the caller.
};

class PhysicalSource final : public ClusterSource {
 public:
  // Connects: throws as Connection does, and Error{kFailed} for a server that cannot be backed up
  // so.
  PhysicalSource(const Context& context, PhysicalOptions options);
  ~PhysicalSource() override;

  [[nodiscard]] std::vector<std::string> paths() const override;
  [[nodiscard]] std::vector<std::string> tags() const override;
  void stream_into(const Context& context, TreeSink& sink) override;
  void finish(const Context& context) override;

  void build_upon(EarlierBackup earlier, std::function<void(const std::string&)> tell) override;
  [[nodiscard]] uint64_t system_identifier() const override;
  [[nodiscard]] const std::string& server_version() const override;
  [[nodiscard]] std::string display() const override;
  [[nodiscard]] bool page_checksums() const override;
  // The server's own estimate.
  [[nodiscard]] uint64_t estimated_bytes() const override;
  [[nodiscard]] const BackupFacts& facts() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor::postgres
