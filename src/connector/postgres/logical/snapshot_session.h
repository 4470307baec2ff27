// One instant of a running database, seen by several connections: an exported snapshot.
//
// The first connection opens a read-only transaction, exports its snapshot and stays open until the
// end: with it the snapshot would go. The others join it. Sources: PostgreSQL's documentation,
// "Snapshot Synchronization Functions" and pg_dump's notes.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "connector/postgres/connection.h"

namespace salvor::postgres {

struct SnapshotSessionOptions {
  ConnectionTarget target;
  std::chrono::seconds lock_timeout{60};
  // `lock` is called in the first transaction before its snapshot exists, to lock what it will
  // read: a table that is truncated or rewritten after the snapshot looks empty in it. `after` is
  // called when the snapshot is there and says whether all that it shows was locked in time; if
  // not, both are called again in a new transaction.
  std::function<void(Connection&)> lock = {};
  std::function<bool(Connection&)> after = {};
  // Go on although a pooler that gives connections away between transactions is in the way.
  bool allow_pooler = false;
};

// Thread-safe where said; otherwise the first connection is its owner's.
class SnapshotSession {
 public:
  // Connects, locks and takes the snapshot. Throws what Connection throws, Error{kFailed} for an
  // unsupported server, Error{kUsage} when a transaction pooler was recognised.
  SnapshotSession(const Context& context, SnapshotSessionOptions options);

  [[nodiscard]] Connection& first() { return first_; }
  [[nodiscard]] const std::string& snapshot() const { return snapshot_; }
  // The server's clock when the snapshot was taken.
  [[nodiscard]] WallTime time() const { return time_; }
  // pg_current_wal_insert_lsn(), or the replayed position of a standby.
  [[nodiscard]] const std::string& position() const { return position_; }

  // A connection that sees the snapshot: an idle one, else a new one. Thread-safe.
  [[nodiscard]] std::unique_ptr<Connection> borrow(const Context& context);
  // After a command has run to its end; after a failure the connection is simply destroyed.
  void give_back(std::unique_ptr<Connection> connection);
  // Ends all. Thread-safe with itself only.
  void close(const Context& context);

 private:
  SnapshotSessionOptions options_;
  Connection first_;
  std::string snapshot_;
  std::string position_;
  WallTime time_;
  std::mutex mutex_;  // guards idle_
  std::vector<std::unique_ptr<Connection>> idle_;
};

// Settings under which data look the same whoever asks: dates, numbers, no search path, no filters
// by row security, no time limits. They end with the session.
void set_stable_session(const Context& context, Connection& connection,
                        std::chrono::seconds lock_timeout);

// Throws Error{kUsage} when the connection goes through a pooler that gives server connections away
// between transactions.
void refuse_transaction_pooler(const Context& context, const ConnectionTarget& target,
                               Connection& connection);

// "2026-11-21 08:00:00.123456+00" seconds and all, from a column of microseconds since 1970.
[[nodiscard]] WallTime parse_epoch_micros(const std::string& text);

}  // namespace salvor::postgres
