// pg_backup_start and pg_backup_stop: a running server in backup mode while somebody else copies
// its files.
//
// Needs EXECUTE on both functions; with REPLICATION a temporary slot keeps the WAL of that time.
// The mode ends with the connection, whatever happens.
#pragma once

#include <string>

#include "connector/postgres/connection.h"

namespace salvor::postgres {

struct LiveBackupStop {
  Lsn lsn;
  std::string label;           // backup_label, byte for byte
  std::string tablespace_map;  // the same; empty: none
};

// Not thread-safe.
class LiveBackup {
 public:
  // Connects. Throws as Connection does.
  LiveBackup(const Context& context, const ConnectionTarget& target);

  [[nodiscard]] Connection& connection() { return connection_; }
  // Throws Error{kFailed} unless the server is the one that runs on `directory` now.
  void require_same(const Context& context, const std::string& directory,
                    uint64_t system_identifier);
  // Blocks for the checkpoint. Returns where replay will begin.
  Lsn start(const Context& context, const std::string& label, bool fast);
  // Does not wait for the archive.
  LiveBackupStop stop(const Context& context);
  [[nodiscard]] WallTime now(const Context& context);
  // The size of all tablespaces; 0 when the role may not know.
  [[nodiscard]] uint64_t cluster_bytes(const Context& context);

 private:
  void hold_wal(const Context& context);
  [[nodiscard]] bool has_old_names() const;

  Connection connection_;
};

}  // namespace salvor::postgres
