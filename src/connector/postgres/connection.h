// One connection to a PostgreSQL server, by libpq: SQL, or the replication protocol.
//
// Everything that libpq understands connects: URIs, key=value strings, PG* variables, service and
// password files, TLS. Passwords are libpq's business and never appear in messages.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

enum class ConnectionMode : uint8_t {
  kSql,
  kReplication,         // physical walsender: replication commands only
  kReplicationWithSql,  // the same for one database, where SQL works as well
};

// Where a connection ended up: the one of several hosts, the one of a name's addresses.
struct ServerAddress {
  std::string host;     // for TLS and the password file; a folder for sockets
  std::string address;  // numeric; empty for sockets
  std::string port;
};

// How to reach a server. `target` is a URI or a list of key=value pairs, or empty: libpq's
// environment. Forms that applications use (database_url.h) are understood.
struct ConnectionTarget {
  std::string target;
  std::string database = {};  // instead of the target's own
  ServerAddress server = {};  // when set: this very server and no other that the name stands for
  std::string options =
      {};  // when set: settings from the start ("-c name=value"), not the target's
};

// The database that a target names, also by libpq's environment; "" when it names none. Throws
// Error{kUsage} for a target that libpq does not understand.
[[nodiscard]] std::string named_database(const ConnectionTarget& target);

// For arguments and environment of another program.
struct ClientAccess {
  std::string conninfo;                  // key='value' pairs, no secrets
  std::vector<std::string> environment;  // "PGPASSWORD=...": never to be shown
};

// One result of a command. Values are text; NULL is nothing.
struct ResultSet {
  using Row = std::vector<std::optional<std::string>>;
  std::vector<std::string> columns;
  std::vector<Row> rows;
  std::string command;  // "SELECT 3", "BASE_BACKUP"
  // The value; throws Error{kFailed} when there is none.
  [[nodiscard]] const std::string& text(size_t row, size_t column) const;
};

// A server's error as it came, for callers that decide by SQLSTATE.
class ServerError : public Error {
 public:
  ServerError(Error error, std::string state) : Error(std::move(error)), state_(std::move(state)) {}
  [[nodiscard]] const std::string& state() const { return state_; }

 private:
  std::string state_;
};

// What comes next of a running command.
enum class Step : uint8_t { kRows, kCopyOut, kCopyIn, kCopyBoth, kDone, kEnd };

// Not thread-safe. All waiting ends with Error{kCancelled} when the context is stopped, with
// Error{kUnreachable} when the connection breaks.
class Connection {
 public:
  // Throws Error{kUnreachable} or Error{kPermission} with the server's words, Error{kUsage} for a
  // target that libpq does not understand.
  Connection(const Context& context, const ConnectionTarget& target, ConnectionMode mode);
  ~Connection();
  Connection(Connection&&) noexcept;
  Connection(const Connection&) = delete;

  // "db.example.com:5432"
  [[nodiscard]] std::string display() const;
  [[nodiscard]] ServerAddress server() const;
  [[nodiscard]] std::string database() const;
  [[nodiscard]] std::string user() const;
  // The settings that the connection was started with ("-c name=value"); "" for none.
  [[nodiscard]] std::string options() const;
  // The process number that came with the connection; a pooler makes one up.
  [[nodiscard]] int announced_process() const;
  // How PostgreSQL's own programs reach the same database as the same user.
  [[nodiscard]] ClientAccess client_access() const;
  // 150018 for 15.18
  [[nodiscard]] int server_version() const;
  // Called for each NOTICE or WARNING.
  void on_notice(std::function<void(const std::string&)> handler);

  // Runs one command to its end and returns its only (or last) rows. Throws ServerError.
  ResultSet run(const Context& context, const std::string& command);
  // The same for a command that holds somebody else's text: more than one statement is refused by
  // the server (42601).
  ResultSet run_single(const Context& context, const std::string& command);
  [[nodiscard]] std::string show(const Context& context, const std::string& setting);

  // Commands that give several results or a COPY: begin, then next() until kEnd. Throws ServerError
  // when the server reports one.
  void begin(const Context& context, const std::string& command);
  [[nodiscard]] Step next(const Context& context);
  [[nodiscard]] const ResultSet& result() const;  // after kRows

  // The next message of a COPY, valid until the next call; nothing at its end (call next() then).
  // With `deadline`, an empty view when nothing came in time.
  [[nodiscard]] std::optional<ByteView> receive(
      const Context& context, std::optional<MonotonicTime> deadline = std::nullopt);
  // From now on `receive` wakes when so many bytes have come, or at its deadline: a server that
  // sends each commit by itself would wake us for each. Every receive needs a deadline then. 1: as
  // usual. Without effect on unix sockets.
  void gather(int bytes);
  void send(const Context& context, ByteView message);
  void end_copy(const Context& context);

  // 'text' as an SQL or replication-command literal, "text" as an identifier.
  [[nodiscard]] std::string quote_literal(const std::string& text) const;
  [[nodiscard]] static std::string quote_identifier(const std::string& text);

 private:
  [[nodiscard]] ResultSet collect(const Context& context);

  struct State;
  std::unique_ptr<State> state_;
};

struct SystemIdentity {
  uint64_t system_identifier = 0;
  Timeline timeline;
  Lsn position;  // flushed (on a standby: replayed or received) so far
};

// IDENTIFY_SYSTEM, on a replication connection.
[[nodiscard]] SystemIdentity identify_system(const Context& context, Connection& connection);

inline constexpr int kIdleSessionTimeout = 140000;  // the first version that has it

// Lets the session wait between two commands for as long as it has to, whatever the server's
// idle_session_timeout is (14 and later). Not for ConnectionMode::kReplication, which takes no SQL.
void allow_waiting(const Context& context, Connection& connection);

// 13 to 18, or Error{kFailed} that says so.
void require_supported(const Connection& connection);

}  // namespace salvor::postgres
