// Follows a running server's WAL into the repository, seconds behind: server -> local spool (fsync,
// told to the server) -> archive. The storage never gates the server: when it is away the spool
// grows to its limit, then the server keeps the WAL.
#pragma once

#include <functional>
#include <string>

#include "connector/postgres/connection.h"
#include "engine/postgres/wal_archive.h"

namespace salvor {

struct WalStreamOptions {
  postgres::ConnectionTarget target;
  std::string slot = "salvor";
  bool create_slot = false;
  std::string spool;  // a folder for all clusters; each gets its own in it
  uint64_t spool_limit_bytes = uint64_t{4} << 30;
  std::chrono::nanoseconds flush_every = std::chrono::seconds(3);  // of the unfinished segment
  std::chrono::nanoseconds silence = std::chrono::seconds(60);     // then the server is gone
  std::function<void(const std::string&)> on_step;
};

// Runs until the context is stopped: what the server had written by then (`stream_wal`) is in the
// archive, or in the spool (and told as a warning). What earlier runs left in the spools of this
// folder is stored as well, also when no server answers. Reconnects by itself, without the storage;
// only the first connection must succeed, and the archive answer at it. Throws for what waiting
// does not cure: WAL that the server has thrown away, a server that was set back (Error{kDamaged}:
// a new backup is needed), another cluster, no slot, no permission.
void run_wal_stream(const Context& context, const Repository& repository,
                    const WalStreamOptions& options);

}  // namespace salvor
