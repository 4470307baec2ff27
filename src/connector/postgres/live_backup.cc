#include "connector/postgres/live_backup.h"

#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "base/fd.h"

namespace salvor::postgres {
namespace {

constexpr int64_t kStartTolerance = 300;  // seconds; the server takes the time twice
constexpr uint64_t kPidFileLimit = 4096;
constexpr std::string_view kMayNot = "42501";

template <class Number>
Number number_of(const std::string& text) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// postmaster.pid: process, data directory, start (seconds since 1970), port, a line each.
struct RunningServer {
  int64_t started = 0;
  std::string port;
};

RunningServer read_pid_file(const std::string& directory) {
  const std::string path = directory + "/postmaster.pid";
  std::string text;
  try {
    text = as_text(read_file(path, kPidFileLimit).view());
  } catch (Error& error) {
    if (error.code() == ErrorCode::kNotFound) {
      throw Error(ErrorCode::kFailed, "no server runs on " + directory,
                  "There is no postmaster.pid. A stopped cluster is backed up as files: salvor "
                  "backup " +
                      directory);
    }
    throw;
  }
  std::istringstream lines(text);
  std::string process;
  std::string data;
  std::string started;
  RunningServer server;
  std::getline(lines, process);
  std::getline(lines, data);
  std::getline(lines, started);
  std::getline(lines, server.port);
  server.started = number_of<int64_t>(started);
  return server;
}

}  // namespace

LiveBackup::LiveBackup(const Context& context, const ConnectionTarget& target)
    : connection_(context, target, ConnectionMode::kSql) {
  require_supported(connection_);
  static_cast<void>(connection_.run(
      context,
      "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', "
      "'lock_timeout', 'idle_session_timeout', 'transaction_timeout')"));
}

bool LiveBackup::has_old_names() const {
  return connection_.server_version() < 150000;
}

void LiveBackup::require_same(const Context& context, const std::string& directory,
                              uint64_t system_identifier) {
  const RunningServer running = read_pid_file(directory);
  const ResultSet server =
      connection_.run(context,
                      "SELECT system_identifier, current_setting('port'), extract(epoch FROM "
                      "pg_postmaster_start_time())::bigint FROM pg_control_system()");
  const int64_t apart = number_of<int64_t>(server.text(0, 2)) - running.started;
  if (server.text(0, 0) != std::to_string(system_identifier) || server.text(0, 1) != running.port ||
      apart < -1 || apart > kStartTolerance) {
    throw Error(
        ErrorCode::kFailed,
        directory + " is not the data directory of the server at " + connection_.display(),
        "By postmaster.pid another server runs there (system identifier, port and start time are "
        "compared). Look at --dbname and --data-directory.");
  }
}

// Keeps the server from recycling WAL that is copied at the end.
void LiveBackup::hold_wal(const Context& context) {
  const std::string name =
      fmt::format("salvor_backup_{:08x}", context.random.next_u64() & UINT32_MAX);
  try {
    static_cast<void>(connection_.run(
        context, "SELECT pg_create_physical_replication_slot('" + name + "', true, true)"));
  } catch (const ServerError& error) {
    context.events.on(
        Warning{"no replication slot for the time of the backup: " + error.message(),
                "If the server recycles WAL before it was copied, the backup fails. Give the role "
                "REPLICATION, raise max_replication_slots or wal_keep_size."});
  }
}

Lsn LiveBackup::start(const Context& context, const std::string& label, bool fast) {
  hold_wal(context);
  const std::string arguments = connection_.quote_literal(label) + (fast ? ", true" : ", false");
  try {
    const ResultSet answer = connection_.run(
        context, has_old_names() ? "SELECT pg_start_backup(" + arguments + ", false)::text"
                                 : "SELECT pg_backup_start(" + arguments + ")::text");
    const auto lsn = Lsn::parse(answer.text(0, 0));
    if (!lsn) {
      throw Error(ErrorCode::kFailed, "the server gave no position for the start of the backup");
    }
    return *lsn;
  } catch (const ServerError& error) {
    if (error.state() != kMayNot) {
      throw;
    }
    throw Error(ErrorCode::kPermission,
                "the role may not put the server into backup mode: " + error.message(),
                has_old_names()
                    ? "GRANT EXECUTE ON FUNCTION pg_start_backup(text, boolean, boolean), "
                      "pg_stop_backup(boolean, boolean) TO the role."
                    : "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), "
                      "pg_backup_stop(boolean) TO the role.");
  }
}

LiveBackupStop LiveBackup::stop(const Context& context) {
  const ResultSet answer = connection_.run(
      context, std::string("SELECT lsn::text, labelfile, spcmapfile FROM ") +
                   (has_old_names() ? "pg_stop_backup(false, false)" : "pg_backup_stop(false)"));
  const auto lsn = Lsn::parse(answer.text(0, 0));
  if (!lsn) {
    throw Error(ErrorCode::kFailed, "the server gave no position for the end of the backup");
  }
  return {*lsn, answer.text(0, 1), answer.rows[0][2].value_or("")};
}

WallTime LiveBackup::now(const Context& context) {
  return WallTime(std::chrono::microseconds(number_of<int64_t>(
      connection_.run(context, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
          .text(0, 0))));
}

uint64_t LiveBackup::cluster_bytes(const Context& context) {
  try {
    return number_of<uint64_t>(
        connection_.run(context, "SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace")
            .text(0, 0));
  } catch (const ServerError&) {
    return 0;
  }
}

}  // namespace salvor::postgres
