// The BASE_BACKUP command of the replication protocol: a running cluster as a few tar archives.
//
// Source: PostgreSQL's documentation, "Streaming Replication Protocol".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connector/postgres/backup_label.h"
#include "connector/postgres/connection.h"

namespace salvor::postgres {

struct BaseBackupOptions {
  std::string label = "salvor";
  bool fast_checkpoint = true;  // else spread over minutes, as checkpoint_completion_target says
  bool include_wal = true;      // the segments from start to stop come with it
  uint32_t max_rate_kib = 0;    // 0: no limit; else 32 to 1048576
  // 17 and later: the earlier backup's manifest, against which the server sends only blocks that
  // have changed (incremental_file.h) of the files that it lists. Empty: everything.
  std::string incremental_to = {};
};

struct BaseBackupStart {
  Lsn lsn;
  Timeline timeline;
  std::vector<TablespaceLocation> tablespaces;
  uint64_t estimated_bytes = 0;
};

struct BaseBackupStop {
  Lsn lsn;
  Timeline timeline;
  // The server found pages with wrong checksums; everything has been sent nevertheless.
  bool damaged = false;
};

class BaseBackupReceiver {
 public:
  virtual ~BaseBackupReceiver() = default;
  virtual void started(const BaseBackupStart& start) = 0;
  // A tar archive begins: of a tablespace, or (0) of the data directory. Its bytes follow as
  // `data`, then `archive_end`.
  virtual void archive(uint32_t tablespace_oid) = 0;
  virtual void data(ByteView bytes) = 0;
  virtual void archive_end() = 0;
  // A piece of the manifest; after the last archive.
  virtual void manifest(ByteView bytes) = 0;
};

// The server cannot make an incremental backup, and says why; nothing was received. The connection
// can be used for a full one.
class IncrementalRefused : public Error {
 public:
  using Error::Error;
};

// Runs one backup on a replication connection; blocks. Returns only when the server has confirmed
// its end: anything else throws and there is no backup. Throws IncrementalRefused.
BaseBackupStop run_base_backup(const Context& context, Connection& connection,
                               const BaseBackupOptions& options, BaseBackupReceiver& receiver);

}  // namespace salvor::postgres
