#include "connector/postgres/logical/snapshot_session.h"

#include <charconv>

#include "connector/postgres/database_url.h"

namespace salvor::postgres {
namespace {

constexpr const char* kBegin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

Error pooler_error(const Connection& connection, const std::string& why) {
  return {
      ErrorCode::kUsage,
      connection.display() + " is a connection pooler in transaction mode (" + why +
          "): it gives the server's connection away between transactions",
      "Use the database's own address or a session pooler: Supabase's and PgBouncer's transaction "
      "pooler is port 6543, the session pooler 5432, the direct host db.<project>.supabase.co; "
      "Neon's direct host has no \"-pooler\". --allow-pooler goes on regardless."};
}

// Whether two clients were given one server process, one after the other, although both are still
// connected.
bool shares_process(const Context& context, const ConnectionTarget& target,
                    Connection& connection) {
  const std::string mine = connection.run(context, "SELECT pg_backend_pid()").text(0, 0);
  Connection other(context, target, ConnectionMode::kSql);
  return other.run(context, "SELECT pg_backend_pid()").text(0, 0) == mine;
}

}  // namespace

void refuse_transaction_pooler(const Context& context, const ConnectionTarget& target,
                               Connection& connection) {
  const ServerAddress server = connection.server();
  if (looks_like_transaction_pooler(server.host, server.port)) {
    throw pooler_error(connection, server.port == "6543" ? "port 6543" : "its name");
  }
  const std::string process = connection.run(context, "SELECT pg_backend_pid()").text(0, 0);
  if (process == std::to_string(connection.announced_process())) {
    return;  // nobody in between
  }
  if (shares_process(context, target, connection)) {
    throw pooler_error(connection, "two connections were served by one process");
  }
}

WallTime parse_epoch_micros(const std::string& text) {
  int64_t micros = 0;
  std::from_chars(text.data(), text.data() + text.size(), micros);
  return WallTime(std::chrono::microseconds(micros));
}

void set_stable_session(const Context& context, Connection& connection,
                        std::chrono::seconds lock_timeout) {
  std::string settings =
      "SET client_encoding = 'UTF8'; SET search_path = ''; SET DateStyle = ISO; "
      "SET IntervalStyle = postgres; SET extra_float_digits = 3; SET bytea_output = hex; "
      "SET synchronize_seqscans = off; SET row_security = off; SET statement_timeout = 0; "
      "SET idle_in_transaction_session_timeout = 0; SET standard_conforming_strings = on; "
      "SET xmloption = content; SET check_function_bodies = off; SET client_min_messages = "
      "warning; "
      "SET quote_all_identifiers = off; "
      "SET lock_timeout = '" +
      std::to_string(lock_timeout.count()) + "s'";
  if (connection.server_version() >= 170000) {
    settings += "; SET transaction_timeout = 0";
  }
  static_cast<void>(connection.run(context, settings));
  allow_waiting(context, connection);
}

SnapshotSession::SnapshotSession(const Context& context, SnapshotSessionOptions options)
    : options_(std::move(options)), first_(context, options_.target, ConnectionMode::kSql) {
  require_supported(first_);
  if (!options_.allow_pooler) {
    refuse_transaction_pooler(context, options_.target, first_);
  }
  options_.target.server = first_.server();
  options_.target.database = first_.database();
  set_stable_session(context, first_, options_.lock_timeout);
  constexpr int kAttempts = 10;
  for (int attempt = 1;; ++attempt) {
    static_cast<void>(first_.run(context, kBegin));
    if (options_.lock) {
      options_.lock(first_);
    }
    const ResultSet row =
        first_.run(context,
                   "SELECT pg_export_snapshot(), CASE WHEN pg_is_in_recovery() THEN "
                   "pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, "
                   "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
    snapshot_ = row.text(0, 0);
    position_ = row.rows[0][1].value_or("");
    time_ = parse_epoch_micros(row.text(0, 2));
    if (!options_.after || options_.after(first_)) {
      return;
    }
    if (attempt == kAttempts) {
      throw Error(ErrorCode::kFailed, "tables are made or dropped faster than they can be locked",
                  "Leave the schemas where that happens out (--exclude-schema), or run again.");
    }
    static_cast<void>(first_.run(context, "ROLLBACK"));
  }
}

std::unique_ptr<Connection> SnapshotSession::borrow(const Context& context) {
  {
    const std::scoped_lock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  auto connection = std::make_unique<Connection>(context, options_.target, ConnectionMode::kSql);
  set_stable_session(context, *connection, options_.lock_timeout);
  static_cast<void>(connection->run(context, kBegin));
  static_cast<void>(
      connection->run(context, "SET TRANSACTION SNAPSHOT " + connection->quote_literal(snapshot_)));
  return connection;
}

void SnapshotSession::give_back(std::unique_ptr<Connection> connection) {
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(connection));
}

void SnapshotSession::close(const Context& context) {
  const std::scoped_lock lock(mutex_);
  idle_.clear();
  static_cast<void>(first_.run(context, "COMMIT"));
}

}  // namespace salvor::postgres
