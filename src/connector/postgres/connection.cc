#include "connector/postgres/connection.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>

#include "connector/postgres/database_url.h"
#include "connector/postgres/libpq.h"

namespace salvor::postgres {
namespace {

SALVOR_LATE(libpq, PQbackendPID);
SALVOR_LATE(libpq, PQclear);
SALVOR_LATE(libpq, PQcmdStatus);
SALVOR_LATE(libpq, PQconnectPoll);
SALVOR_LATE(libpq, PQconnectStartParams);
SALVOR_LATE(libpq, PQconninfo);
SALVOR_LATE(libpq, PQconninfoFree);
SALVOR_LATE(libpq, PQconninfoParse);
SALVOR_LATE(libpq, PQconsumeInput);
SALVOR_LATE(libpq, PQdb);
SALVOR_LATE(libpq, PQerrorMessage);
SALVOR_LATE(libpq, PQescapeLiteral);
SALVOR_LATE(libpq, PQfinish);
SALVOR_LATE(libpq, PQflush);
SALVOR_LATE(libpq, PQfname);
SALVOR_LATE(libpq, PQfreemem);
SALVOR_LATE(libpq, PQgetCopyData);
SALVOR_LATE(libpq, PQgetResult);
SALVOR_LATE(libpq, PQgetisnull);
SALVOR_LATE(libpq, PQgetlength);
SALVOR_LATE(libpq, PQgetvalue);
SALVOR_LATE(libpq, PQhost);
SALVOR_LATE(libpq, PQhostaddr);
SALVOR_LATE(libpq, PQisBusy);
SALVOR_LATE(libpq, PQnfields);
SALVOR_LATE(libpq, PQntuples);
SALVOR_LATE(libpq, PQoptions);
SALVOR_LATE(libpq, PQport);
SALVOR_LATE(libpq, PQputCopyData);
SALVOR_LATE(libpq, PQputCopyEnd);
SALVOR_LATE(libpq, PQresultErrorField);
SALVOR_LATE(libpq, PQresultStatus);
SALVOR_LATE(libpq, PQsendQuery);
SALVOR_LATE(libpq, PQsendQueryParams);
SALVOR_LATE(libpq, PQserverVersion);
SALVOR_LATE(libpq, PQsetNoticeReceiver);
SALVOR_LATE(libpq, PQsetnonblocking);
SALVOR_LATE(libpq, PQsocket);
SALVOR_LATE(libpq, PQstatus);
SALVOR_LATE(libpq, PQuser);

constexpr int kWaitStepMilliseconds = 200;

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, FreeResult>;

struct FreeText {
  void operator()(char* text) const { PQfreemem(text); }
};
using PqText = std::unique_ptr<char, FreeText>;

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      line += line.empty() || line.back() == ' ' ? "" : " ";
    } else if (c != '\t' || line.empty() || line.back() != ' ') {
      line += c;
    }
  }
  while (!line.empty() && line.back() == ' ') {
    line.pop_back();
  }
  return line;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// libpq gives no code for a failed connection, only the server's (English or translated) words.
Error connection_error(std::string_view message, const std::string& where) {
  const std::string text = "cannot connect to PostgreSQL at " + where + ": " + one_line(message);
  if (contains(message, "pg_hba.conf")) {
    return {ErrorCode::kPermission, text,
            "Add a line to the server's pg_hba.conf and reload it, for example: "
            "host replication backup_user 10.0.0.0/8 scram-sha-256"};
  }
  if (contains(message, "replication") && contains(message, "role")) {
    return {ErrorCode::kPermission, text,
            "Give the role the right to replicate: ALTER ROLE backup_user REPLICATION."};
  }
  if (contains(message, "authentication failed") || contains(message, "no password supplied")) {
    return {ErrorCode::kPermission, text,
            "Check the user, and the password in ~/.pgpass, PGPASSWORD or the URL."};
  }
  if (contains(message, "role ") && contains(message, "does not exist")) {
    return {ErrorCode::kPermission, text,
            "Name a role of the server in the URL: postgresql://ROLE@HOST/DATABASE. Without one it "
            "is this user's name."};
  }
  if (contains(message, "database ") && contains(message, "does not exist")) {
    return {ErrorCode::kFailed, text,
            "Name a database of the server in the URL: postgresql://ROLE@HOST/DATABASE."};
  }
  if (contains(message, "max_wal_senders")) {
    return {ErrorCode::kFailed, text, "Raise max_wal_senders on the server: a backup takes two."};
  }
  return {ErrorCode::kUnreachable, text,
          "Check host, port and firewall, and that the server runs."};
}

Error server_error(const PGresult* result, const std::string& what) {
  const auto field = [result](int code) {
    const char* value = PQresultErrorField(result, code);
    return std::string(value == nullptr ? "" : value);
  };
  std::string message = what + ": " + one_line(field(PG_DIAG_MESSAGE_PRIMARY));
  if (const std::string detail = field(PG_DIAG_MESSAGE_DETAIL); !detail.empty()) {
    message += " (" + one_line(detail) + ")";
  }
  const std::string state = field(PG_DIAG_SQLSTATE);
  // 42501 insufficient_privilege; class 57P: the server is shutting down; class 08: connection.
  const ErrorCode code = state == "42501" ? ErrorCode::kPermission
                         : state.starts_with("57P") || state.starts_with("08")
                             ? ErrorCode::kUnreachable
                             : ErrorCode::kFailed;
  return {code, std::move(message), one_line(field(PG_DIAG_MESSAGE_HINT))};
}

ResultSet read_rows(const PGresult* result) {
  ResultSet set;
  set.command = PQcmdStatus(const_cast<PGresult*>(result));
  const int columns = PQnfields(result);
  for (int column = 0; column < columns; ++column) {
    set.columns.emplace_back(PQfname(result, column));
  }
  for (int row = 0; row < PQntuples(result); ++row) {
    ResultSet::Row values;
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        values.emplace_back();
      } else {
        values.emplace_back(std::string(PQgetvalue(result, row, column),
                                        static_cast<size_t>(PQgetlength(result, row, column))));
      }
    }
    set.rows.push_back(std::move(values));
  }
  return set;
}

// Whether the target names a database, so that none has to be made up.
bool names_database(const std::string& target) {
  if (!target.empty() && target.find('=') == std::string::npos && !contains(target, "://")) {
    return true;  // nothing but a name
  }
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(target.c_str(), &error);
  const PqText message(error);
  if (options == nullptr) {
    // libpq quotes the offending part, which could hold a password: not shown.
    throw Error(
        ErrorCode::kUsage, "the connection to PostgreSQL is not described as libpq takes it",
        "Write a URI (postgresql://user@host:5432/db) or key=value pairs "
        "(host=... user=...). Characters such as @ or / in a password are written %40, %2F.");
  }
  bool found = std::getenv("PGDATABASE") != nullptr || std::getenv("PGSERVICE") != nullptr;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    const std::string_view key = option->keyword;
    found = found || ((key == "dbname" || key == "service") && option->val != nullptr);
  }
  PQconninfoFree(options);
  return found;
}

}  // namespace

std::string named_database(const ConnectionTarget& target) {
  if (!target.database.empty()) {
    return target.database;
  }
  const std::string normal = normalize_url(target.target);
  if (!names_database(normal)) {
    return "";
  }
  if (normal.find('=') == std::string::npos && !contains(normal, "://") && !normal.empty()) {
    return normal;
  }
  PQconninfoOption* options = PQconninfoParse(normal.c_str(), nullptr);
  std::string name;
  for (const PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr;
       ++option) {
    if (std::string_view(option->keyword) == "dbname" && option->val != nullptr) {
      name = option->val;
    }
  }
  PQconninfoFree(options);
  const char* variable = std::getenv("PGDATABASE");
  return !name.empty() || variable == nullptr ? name : variable;
}

const std::string& ResultSet::text(size_t row, size_t column) const {
  if (row >= rows.size() || column >= rows[row].size() || !rows[row][column]) {
    throw Error(ErrorCode::kFailed, "the server's answer to " + command + " lacks a value");
  }
  return *rows[row][column];
}

struct Connection::State {
  PGconn* connection = nullptr;
  std::function<void(const std::string&)> notice;
  ResultSet rows;
  char* message = nullptr;  // libpq's, of the COPY message last received
  std::string running;      // what the command is, for messages

  ~State() {
    if (connection != nullptr) {  // otherwise libpq may not be there
      PQfreemem(message);
      PQfinish(connection);
    }
  }
  [[nodiscard]] Error broken() const {
    return {ErrorCode::kUnreachable,
            "the connection to PostgreSQL broke: " + one_line(PQerrorMessage(connection)),
            "Look at the server's log. Run the command again."};
  }
  // Waits until the socket can be read (or written); false when `deadline` passed first.
  [[nodiscard]] bool wait(const Context& context, bool to_write,
                          std::optional<MonotonicTime> deadline) const {
    for (;;) {
      context.check_stopped();
      pollfd waiting{.fd = PQsocket(connection),
                     .events = static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN),
                     .revents = 0};
      int step = kWaitStepMilliseconds;
      if (deadline) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(*deadline - context.clock.monotonic());
        if (left.count() <= 0) {
          return false;
        }
        step = static_cast<int>(std::min<int64_t>(step, left.count()));
      }
      const int ready = poll(&waiting, 1, step);
      if (ready > 0) {
        return true;
      }
      if (ready < 0 && errno != EINTR) {
        throw Error::from_errno(errno, "cannot wait for PostgreSQL");
      }
    }
  }
  void flush(const Context& context) const {
    for (;;) {
      const int left = PQflush(connection);
      if (left == 0) {
        return;
      }
      if (left < 0) {
        throw broken();
      }
      static_cast<void>(wait(context, true, std::nullopt));
      if (PQconsumeInput(connection) == 0) {
        throw broken();
      }
    }
  }
  [[nodiscard]] Result take_result(const Context& context) const {
    while (PQisBusy(connection) != 0) {
      static_cast<void>(wait(context, false, std::nullopt));
      if (PQconsumeInput(connection) == 0) {
        throw broken();
      }
    }
    return Result(PQgetResult(connection));
  }
};

Connection::Connection(const Context& context, const ConnectionTarget& target, ConnectionMode mode)
    : state_(std::make_unique<State>()) {
  const std::string normal = normalize_url(target.target);
  const bool named = names_database(normal);
  std::vector<const char*> keys{"fallback_application_name"};
  std::vector<const char*> values{"salvor"};
  const auto add = [&](const char* key, const char* value) {
    keys.push_back(key);
    values.push_back(value);
  };
  if (mode != ConnectionMode::kSql) {
    // A server that vanishes is noticed within about a minute instead of a quarter of an hour or
    // never. Whoever sends much to a server that may be busy with it has to wait: not for SQL.
    add("keepalives_idle", "30");
    add("keepalives_interval", "10");
    add("keepalives_count", "3");
    add("tcp_user_timeout", "60000");
  }
  // The first one is expanded; it has precedence over what is before, what follows over it.
  add("dbname", normal.c_str());
  if (!target.database.empty()) {
    add("dbname", target.database.c_str());
  } else if (!named) {
    add("dbname", "postgres");
  }
  if (!target.server.host.empty()) {
    add("host", target.server.host.c_str());
    add("hostaddr", target.server.address.c_str());
    add("port", target.server.port.c_str());
  }
  if (!target.options.empty()) {
    add("options", target.options.c_str());
  }
  if (mode != ConnectionMode::kSql) {
    add("replication", mode == ConnectionMode::kReplication ? "true" : "database");
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  state_->connection = PQconnectStartParams(keys.data(), values.data(), 1);
  if (state_->connection == nullptr) {
    throw std::bad_alloc();
  }
  PostgresPollingStatusType polled = PGRES_POLLING_WRITING;
  while (polled != PGRES_POLLING_OK && polled != PGRES_POLLING_FAILED &&
         PQstatus(state_->connection) != CONNECTION_BAD) {
    static_cast<void>(state_->wait(context, polled == PGRES_POLLING_WRITING, std::nullopt));
    polled = PQconnectPoll(state_->connection);
  }
  if (PQstatus(state_->connection) != CONNECTION_OK) {
    throw connection_error(PQerrorMessage(state_->connection), display());
  }
  PQsetNoticeReceiver(
      state_->connection,
      [](void* argument, const PGresult* result) {
        auto& state = *static_cast<State*>(argument);
        if (state.notice) {
          const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
          state.notice(text == nullptr ? "" : one_line(text));
        }
      },
      state_.get());
  PQsetnonblocking(state_->connection, 1);
}

Connection::~Connection() = default;
Connection::Connection(Connection&&) noexcept = default;

std::string Connection::display() const {
  const char* host = PQhost(state_->connection);
  const char* port = PQport(state_->connection);
  return std::string(host == nullptr || *host == '\0' ? "local" : host) + ":" +
         (port == nullptr ? "" : port);
}

ServerAddress Connection::server() const {
  const auto text = [](const char* value) { return std::string(value == nullptr ? "" : value); };
  const std::string host = text(PQhost(state_->connection));
  // A folder of sockets has no address.
  return {host, host.starts_with('/') ? "" : text(PQhostaddr(state_->connection)),
          text(PQport(state_->connection))};
}

std::string Connection::database() const {
  const char* name = PQdb(state_->connection);
  return name == nullptr ? "" : name;
}

std::string Connection::user() const {
  const char* name = PQuser(state_->connection);
  return name == nullptr ? "" : name;
}

std::string Connection::options() const {
  const char* text = PQoptions(state_->connection);
  return text == nullptr ? "" : text;
}

int Connection::announced_process() const {
  return PQbackendPID(state_->connection);
}

ClientAccess Connection::client_access() const {
  struct Free {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
  };
  const std::unique_ptr<PQconninfoOption, Free> options(PQconninfo(state_->connection));
  ClientAccess access;
  const auto add = [&access](std::string_view name, std::string_view value) {
    access.conninfo += std::string(access.conninfo.empty() ? "" : " ") + std::string(name) + "='";
    for (const char c : value) {
      access.conninfo += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    }
    access.conninfo += "'";
  };
  for (const PQconninfoOption* option = options.get();
       option != nullptr && option->keyword != nullptr; ++option) {
    const std::string_view name = option->keyword;
    if (option->val == nullptr || *option->val == '\0' || name == "host" || name == "hostaddr" ||
        name == "port" || name == "dbname" || name == "service" || name == "replication" ||
        name == "client_encoding") {
      continue;
    }
    if (*option->dispchar == '*') {  // a secret
      if (option->envvar != nullptr) {
        access.environment.push_back(std::string(option->envvar) + "=" + option->val);
      }
      continue;
    }
    add(name, option->val);
  }
  const ServerAddress here = server();
  add("host", here.host);
  add("hostaddr", here.address);
  add("port", here.port);
  add("dbname", database());
  return access;
}

int Connection::server_version() const {
  return PQserverVersion(state_->connection);
}

void Connection::on_notice(std::function<void(const std::string&)> handler) {
  state_->notice = std::move(handler);
}

void Connection::begin(const Context& context, const std::string& command) {
  state_->running = command.substr(0, command.find_first_of(" ("));
  if (PQsendQuery(state_->connection, command.c_str()) == 0) {
    throw state_->broken();
  }
  state_->flush(context);
}

Step Connection::next(const Context& context) {
  const Result result = state_->take_result(context);
  if (!result) {
    return Step::kEnd;
  }
  switch (PQresultStatus(result.get())) {
    case PGRES_TUPLES_OK:
      state_->rows = read_rows(result.get());
      return Step::kRows;
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
      state_->rows = read_rows(result.get());
      return Step::kDone;
    case PGRES_COPY_OUT:
      return Step::kCopyOut;
    case PGRES_COPY_IN:
      return Step::kCopyIn;
    case PGRES_COPY_BOTH:
      return Step::kCopyBoth;
    default:
      break;
  }
  const char* code = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
  if (code == nullptr) {
    throw state_->broken();
  }
  Error error = server_error(result.get(), "PostgreSQL refused " + state_->running);
  throw ServerError(std::move(error), code);
}

const ResultSet& Connection::result() const {
  return state_->rows;
}

ResultSet Connection::run(const Context& context, const std::string& command) {
  begin(context, command);
  return collect(context);
}

ResultSet Connection::run_single(const Context& context, const std::string& command) {
  state_->running = command.substr(0, command.find_first_of(" ("));
  if (PQsendQueryParams(state_->connection, command.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                        0) == 0) {
    throw state_->broken();
  }
  state_->flush(context);
  return collect(context);
}

ResultSet Connection::collect(const Context& context) {
  ResultSet last;
  for (;;) {
    Step step = Step::kEnd;
    try {
      step = next(context);
    } catch (const ServerError&) {
      // libpq takes no other command before it has given everything that there is of this one.
      while (PGresult* rest = PQgetResult(state_->connection)) {
        PQclear(rest);
      }
      throw;
    }
    switch (step) {
      case Step::kEnd:
        return last;
      case Step::kRows:
      case Step::kDone:
        if (!state_->rows.columns.empty() || last.columns.empty()) {
          last = state_->rows;
        }
        break;
      default:
        throw Error(ErrorCode::kFailed, "PostgreSQL began to copy where it should not");
    }
  }
}

std::string Connection::show(const Context& context, const std::string& setting) {
  return run(context, "SHOW " + setting).text(0, 0);
}

std::optional<ByteView> Connection::receive(const Context& context,
                                            std::optional<MonotonicTime> deadline) {
  PQfreemem(state_->message);
  state_->message = nullptr;
  for (bool late = false;;) {
    const int length = PQgetCopyData(state_->connection, &state_->message, 1);
    if (length > 0) {
      return ByteView(reinterpret_cast<const std::byte*>(state_->message),
                      static_cast<size_t>(length));
    }
    if (length == -1) {
      return std::nullopt;
    }
    if (length < -1) {
      throw state_->broken();
    }
    if (late) {
      return ByteView();
    }
    late = !state_->wait(context, false, deadline);
    // Also then: less may have come than `gather` waits for.
    if (PQconsumeInput(state_->connection) == 0) {
      throw state_->broken();
    }
  }
}

void Connection::gather(int bytes) {
  // socket(7). A hint: where it cannot be had, nothing but the number of wake-ups is worse.
  static_cast<void>(
      setsockopt(PQsocket(state_->connection), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes));
}

void Connection::send(const Context& context, ByteView message) {
  if (PQputCopyData(state_->connection, reinterpret_cast<const char*>(message.data()),
                    static_cast<int>(message.size())) < 0) {
    throw state_->broken();
  }
  state_->flush(context);
}

void Connection::end_copy(const Context& context) {
  if (PQputCopyEnd(state_->connection, nullptr) < 0) {
    throw state_->broken();
  }
  state_->flush(context);
}

std::string Connection::quote_literal(const std::string& text) const {
  const PqText quoted(PQescapeLiteral(state_->connection, text.data(), text.size()));
  if (!quoted) {
    throw Error(ErrorCode::kUsage, "a text for PostgreSQL is not valid in its encoding");
  }
  return quoted.get();
}

std::string Connection::quote_identifier(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c == '"' ? "\"\"" : std::string(1, c);
  }
  return quoted + "\"";
}

SystemIdentity identify_system(const Context& context, Connection& connection) {
  const ResultSet answer = connection.run(context, "IDENTIFY_SYSTEM");
  SystemIdentity identity;
  const std::string& id = answer.text(0, 0);
  const std::string& timeline = answer.text(0, 1);
  std::from_chars(id.data(), id.data() + id.size(), identity.system_identifier);
  std::from_chars(timeline.data(), timeline.data() + timeline.size(), identity.timeline.value);
  const auto position = Lsn::parse(answer.text(0, 2));
  if (identity.system_identifier == 0 || identity.timeline.value == 0 || !position) {
    throw Error(ErrorCode::kFailed, "the server does not identify itself");
  }
  identity.position = *position;
  return identity;
}

void allow_waiting(const Context& context, Connection& connection) {
  if (connection.server_version() >= kIdleSessionTimeout) {
    static_cast<void>(connection.run(context, "SET idle_session_timeout = 0"));
  }
}

void require_supported(const Connection& connection) {
  const int major = connection.server_version() / 10000;
  if (major < 13 || major > 18) {
    throw Error(
        ErrorCode::kFailed,
        "PostgreSQL " + std::to_string(major) + " at " + connection.display() + " is not supported",
        "Salvor knows the versions 13 to 18.");
  }
}

}  // namespace salvor::postgres
