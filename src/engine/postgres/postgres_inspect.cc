#include "engine/postgres/postgres_inspect.h"

#include <charconv>

#include <fmt/format.h>
#include <unistd.h>

#include "net/subprocess.h"

namespace salvor {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::LocalServer;
using postgres::ResultSet;

constexpr size_t kValueLimit = 300;

// Runs `body`; what it throws is a check that failed, but for being stopped.
template <class Body>
ProofCheck check(std::string name, Body body) {
  ProofCheck result{.name = std::move(name)};
  try {
    result.value = body();
    result.passed = true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    result.value = one_line(error.message());
  }
  return result;
}

// Reads every row of every table: what cannot be read is not a backup.
std::map<std::string, uint64_t> count_rows(const Context& context, Connection& connection) {
  const ResultSet tables = connection.run(
      context,
      "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
      "WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_toast' ORDER BY 1, 2");
  std::map<std::string, uint64_t> rows;
  for (size_t i = 0; i < tables.rows.size(); ++i) {
    const std::string count =
        connection
            .run(context, "SELECT count(*) FROM ONLY " +
                              Connection::quote_identifier(tables.text(i, 0)) + "." +
                              Connection::quote_identifier(tables.text(i, 1)))
            .text(0, 0);
    uint64_t number = 0;
    std::from_chars(count.data(), count.data() + count.size(), number);
    rows[tables.text(i, 0) + "." + tables.text(i, 1)] = number;
  }
  return rows;
}

std::string row_text(const std::map<std::string, uint64_t>& rows) {
  uint64_t sum = 0;
  for (const auto& [table, count] : rows) {
    sum += count;
  }
  return fmt::format("{} tables, {} rows", rows.size(), sum);
}

std::string amcheck(const std::string& program, const LocalServer& server,
                    const std::string& database, const std::string& superuser) {
  const std::string& target = server.target().target;
  const size_t begin = target.find('\'') + 1;
  const std::string folder = target.substr(begin, target.find('\'', begin) - begin);
  Subprocess run({.arguments = {"sh", "-c", "exec \"$@\" 2>&1", "sh", program, "-h", folder, "-p",
                                "5432", "-U", superuser, "--no-password", "--install-missing",
                                "--heapallindexed", "--parent-check", "-d", database}});
  std::string output;
  std::string piece(4096, '\0');
  while (const size_t got = run.read(std::as_writable_bytes(std::span(piece)))) {
    output.append(piece, 0, output.size() < kValueLimit ? got : 0);
  }
  if (!run.wait().success()) {
    throw Error(ErrorCode::kDamaged, output.empty() ? "it failed" : output);
  }
  return "no damage found";
}

}  // namespace

std::string one_line(std::string text) {
  for (char& c : text) {
    c = c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  }
  return text.size() > kValueLimit ? text.substr(0, kValueLimit) + "..." : text;
}

std::vector<std::string> databases_of(const Context& context, const LocalServer& server) {
  Connection main(context, server.target(), ConnectionMode::kSql);
  const ResultSet names = main.run(
      context,
      "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1");
  std::vector<std::string> databases;
  for (size_t row = 0; row < names.rows.size(); ++row) {
    databases.push_back(names.text(row, 0));
  }
  return databases;
}

void assert_true(const Context& context, const postgres::ConnectionTarget& target,
                 const std::string& statement) {
  Connection connection(context, target, ConnectionMode::kSql);
  static_cast<void>(connection.run(context, "BEGIN READ ONLY"));
  const ResultSet answer = connection.run_single(context, statement);
  if (answer.rows.size() != 1 || answer.rows[0].size() != 1) {
    throw Error(ErrorCode::kFailed, fmt::format("it gave {} rows of {} columns, not one value",
                                                answer.rows.size(), answer.columns.size()));
  }
  const std::string value = answer.rows[0][0].value_or("NULL");
  if (value != "t" && value != "true") {
    throw Error(ErrorCode::kFailed, "it gave " + value);
  }
}

std::vector<ProofCheck> inspect_server(const Context& context, const LocalServer& server,
                                       const InspectOptions& options) {
  std::vector<ProofCheck> checks;
  const std::string program = options.binaries + "/pg_amcheck";
  Connection main(context, server.target(), ConnectionMode::kSql);
  const bool amchecked =
      options.amcheck && ::access(program.c_str(), X_OK) == 0 &&
      main.run(context, "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'")
              .text(0, 0) != "0";
  for (const std::string& database : databases_of(context, server)) {
    if (options.count_rows) {
      checks.push_back(check("rows " + database, [&] {
        Connection connection(context, server.target(database), ConnectionMode::kSql);
        return row_text(count_rows(context, connection));
      }));
    }
    if (amchecked) {
      checks.push_back(check("pg_amcheck " + database, [&] {
        return amcheck(program, server, database, options.superuser);
      }));
    }
  }
  for (const Assertion& assertion : options.assertions) {
    checks.push_back(check(assertion.statement, [&] {
      assert_true(context, server.target(assertion.database), assertion.statement);
      return "true";
    }));
  }
  return checks;
}

std::string ServerContent::difference(const ServerContent& expected) const {
  for (const auto& [table, count] : expected.rows) {
    const auto found = rows.find(table);
    if (found == rows.end()) {
      return table + " is gone";
    }
    if (found->second != count) {
      return fmt::format("{} has {} rows instead of {}", table, found->second, count);
    }
  }
  for (const auto& [table, count] : rows) {
    if (!expected.rows.contains(table)) {
      return table + " should not be there";
    }
  }
  for (const auto& [database, hash] : expected.schema) {
    const auto found = schema.find(database);
    if (found == schema.end() || found->second != hash) {
      return "the tables of " + database + " have other columns";
    }
  }
  return "";
}

ServerContent content_of(const Context& context, const LocalServer& server) {
  ServerContent content;
  for (const std::string& database : databases_of(context, server)) {
    Connection connection(context, server.target(database), ConnectionMode::kSql);
    for (const auto& [table, count] : count_rows(context, connection)) {
      // Others than users' tables change by themselves (statistics, vacuum).
      if (!table.starts_with("pg_catalog.") && !table.starts_with("information_schema.")) {
        content.rows[database + ": " + table] = count;
      }
    }
    content.schema[database] =
        connection
            .run(context,
                 "SELECT coalesce(md5(string_agg(n.nspname || '.' || c.relname || '.' || a.attname "
                 "|| ' ' || format_type(a.atttypid, a.atttypmod), ',' ORDER BY n.nspname, "
                 "c.relname, a.attnum)), '') FROM pg_attribute a JOIN pg_class c ON c.oid = "
                 "a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attnum > 0 AND "
                 "NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^pg_' "
                 "AND n.nspname <> 'information_schema'")
            .text(0, 0);
  }
  return content;
}

}  // namespace salvor
