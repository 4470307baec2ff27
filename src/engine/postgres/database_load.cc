#include "engine/postgres/database_load.h"

#include <algorithm>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/format.h"
#include "base/task.h"
#include "connector/postgres/backup_facts.h"
#include "connector/postgres/logical/client_tools.h"
#include "connector/postgres/logical/snapshot_session.h"
#include "connector/postgres/logical/sql_text.h"

namespace salvor {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::ConnectionTarget;
using postgres::DumpTable;

constexpr size_t kNameLimit = 63;
constexpr std::chrono::seconds kLockTimeout{60};

// "20261121-080000"
std::string compact_time(WallTime time) {
  std::string text;
  for (const char c : postgres::format_utc(time).substr(0, 19)) {
    if (c != ':' && c != '-') {
      text += c == 'T' ? '-' : c;
    }
  }
  return text;
}

std::string suffixed(const std::string& name, const std::string& suffix) {
  return name.substr(0, std::min(name.size(), kNameLimit - suffix.size())) + suffix;
}

uint64_t count_of(const postgres::ResultSet& rows, size_t column = 0) {
  return std::stoull(rows.text(0, column));
}

// In one transaction; the sessions of those that are renamed are ended.
void rename_databases(const Context& context, Connection& server,
                      const std::vector<std::pair<std::string, std::string>>& names) {
  constexpr int kAttempts = 20;
  for (int attempt = 1;; ++attempt) {
    for (const auto& [from, to] : names) {
      end_connections(context, server, from);
    }
    try {
      static_cast<void>(server.run(context, "BEGIN"));
      for (const auto& [from, to] : names) {
        static_cast<void>(
            server.run(context, "ALTER DATABASE " + Connection::quote_identifier(from) +
                                    " RENAME TO " + Connection::quote_identifier(to)));
      }
      static_cast<void>(server.run(context, "COMMIT"));
      return;
    } catch (const postgres::ServerError& error) {
      static_cast<void>(server.run(context, "ROLLBACK"));
      // 55006: in use. Somebody connects faster than we rename.
      if (error.state() != "55006" || attempt == kAttempts) {
        throw;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    context.check_stopped();
  }
}

// A database beside `name`, for commands about it.
ConnectionTarget beside(ConnectionTarget target, const std::string& name) {
  target.database = name == "postgres" ? "template1" : "postgres";
  return target;
}

bool database_exists(const Context& context, Connection& server, const std::string& name) {
  return server
             .run(context, "SELECT FROM pg_catalog.pg_database WHERE datname = " +
                               server.quote_literal(name))
             .rows.size() == 1;
}

void drop(const Context& context, Connection& server, const std::string& name) {
  static_cast<void>(server.run(context, "SET statement_timeout = 0"));
  static_cast<void>(server.run(
      context, "DROP DATABASE IF EXISTS " + Connection::quote_identifier(name) + " WITH (FORCE)"));
}

}  // namespace

void exchange_databases(const Context& context, const ConnectionTarget& target,
                        const std::string& name, const std::string& kept) {
  Connection server(context, beside(target, name), ConnectionMode::kSql);
  const std::string undone = suffixed(name, ".undone");
  if (database_exists(context, server, kept)) {
    drop(context, server, undone);
    if (database_exists(context, server, name)) {
      rename_databases(context, server, {{name, undone}, {kept, name}});
    } else {
      rename_databases(context, server, {{kept, name}});
    }
  } else if (!database_exists(context, server, undone)) {
    throw Error(ErrorCode::kNotFound, "the old database " + kept + " is not there any more",
                "Nothing was changed.");
  }
  drop(context, server, undone);
}

void drop_database(const Context& context, const ConnectionTarget& target, const std::string& name,
                   const std::string& kept) {
  Connection server(context, beside(target, name), ConnectionMode::kSql);
  drop(context, server, kept);
}

void end_connections(const Context& context, Connection& server, const std::string& database) {
  static_cast<void>(server.run(context,
                               "SELECT pg_catalog.pg_terminate_backend(pid) FROM "
                               "pg_catalog.pg_stat_activity WHERE datname = " +
                                   server.quote_literal(database) +
                                   " AND pid <> pg_catalog.pg_backend_pid()"));
}

void DatabaseLoader::step(const std::string& text) const {
  if (options_.on_step) {
    options_.on_step(text);
  }
}

ConnectionTarget DatabaseLoader::maintenance() const {
  return beside(options_.server, options_.database);
}

std::string DatabaseLoader::side_name(const Context& context) const {
  return suffixed(options_.database, ".salvor-" + compact_time(context.clock.now()));
}

DatabaseImpact DatabaseLoader::examine(const Context& context) {
  const postgres::DumpManifest& manifest = dump_.manifest();
  if (!manifest.has_schema) {
    throw Error(
        ErrorCode::kFailed, "this backup holds rows only, no schema",
        "It was made with --no-schema. Restore single tables into a database that has them: "
        "--table.");
  }
  archive_ = dump_.text(context, "/schema/archive.dump").value_or("");
  tools_ = postgres::find_restore_tools(options_.client_programs, as_bytes(archive_),
                                        manifest.server_version);
  DatabaseImpact impact;
  impact.database = options_.database;
  ConnectionTarget target = options_.server;
  target.database = options_.database;
  Connection server(context, options_.in_place ? target : maintenance(), ConnectionMode::kSql);
  impact.server = server.display();
  exists_ = database_exists(context, server, options_.database);
  impact.exists = exists_;
  require_roles(context, server);
  if (!exists_) {
    return impact;
  }
  Connection existing(context, target, ConnectionMode::kSql);
  const auto facts = existing.run(
      context,
      "SELECT count(*), coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, "
      "pg_catalog.pg_database_size(pg_catalog.current_database()), (SELECT count(*) FROM "
      "pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND pid <> "
      "pg_catalog.pg_backend_pid() AND backend_type = 'client backend') FROM pg_catalog.pg_class c "
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND "
      "n.nspname "
      "!~ '^pg_' AND n.nspname <> 'information_schema'");
  impact.tables = count_of(facts, 0);
  impact.rows = count_of(facts, 1);
  impact.bytes = count_of(facts, 2);
  impact.connections = count_of(facts, 3);
  return impact;
}

void DatabaseLoader::require_roles(const Context& context, Connection& server) const {
  if (options_.no_owner) {
    return;
  }
  std::set<std::string> missing{dump_.manifest().database.owner};
  for (const DumpTable& table : dump_.manifest().tables) {
    missing.insert(table.owner);
  }
  for (const auto& row : server.run(context, "SELECT rolname FROM pg_catalog.pg_roles").rows) {
    missing.erase(row[0].value_or(""));
  }
  if (missing.empty()) {
    return;
  }
  std::string list;
  for (const std::string& role : missing) {
    list += (list.empty() ? "" : ", ") + role;
  }
  throw Error(ErrorCode::kFailed,
              "the server has no role " + list + ", which owns what is restored",
              "Make the roles (schema/roles.sql in the backup has them: `salvor dump " +
                  dump_.stored().id.short_hex() +
                  " /schema/roles.sql`), or restore with --no-owner --no-privileges.");
}

std::string DatabaseLoader::create_command(const Connection& server,
                                           const std::string& name) const {
  const postgres::DatabaseFacts& facts = dump_.manifest().database;
  std::string command = "CREATE DATABASE " + Connection::quote_identifier(name) +
                        " TEMPLATE template0 ENCODING " + server.quote_literal(facts.encoding);
  command += " LC_COLLATE " + server.quote_literal(facts.collate) + " LC_CTYPE " +
             server.quote_literal(facts.ctype);
  if (facts.provider == "icu" && server.server_version() >= 150000) {
    command += " LOCALE_PROVIDER icu ICU_LOCALE " + server.quote_literal(facts.locale);
  } else if (facts.provider == "builtin" && server.server_version() >= 170000) {
    command += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + server.quote_literal(facts.locale);
  }
  return options_.no_owner ? command
                           : command + " OWNER " + Connection::quote_identifier(facts.owner);
}

std::vector<std::string> DatabaseLoader::restore_arguments(const std::string& section) const {
  std::vector<std::string> arguments{"--section=" + section};
  if (options_.no_owner) {
    arguments.emplace_back("--no-owner");
  }
  if (options_.no_privileges) {
    arguments.emplace_back("--no-privileges");
  }
  return arguments;
}

// A section of the schema as pg_restore writes it for psql.
std::string DatabaseLoader::section(const Context& context, const std::string& name) const {
  std::vector<std::string> arguments = restore_arguments(name);
  arguments.emplace_back("--file=-");
  const Buffer script = postgres::run_tool(context, {.program = tools_ + "/pg_restore",
                                                     .arguments = std::move(arguments),
                                                     .input = as_bytes(archive_)});
  return std::string(as_text(script.view()));
}

void DatabaseLoader::run_section(const Context& context, Connection& connection,
                                 const std::string& name) const {
  static_cast<void>(connection.run(
      context, postgres::as_statements(section(context, name), connection.server_version())));
}

void DatabaseLoader::run_script(const Context& context, Connection& connection,
                                const std::string& path) const {
  if (const auto script = dump_.text(context, path); script && !script->empty()) {
    static_cast<void>(connection.run(context, *script));
  }
}

void DatabaseLoader::load_rows(const Context& context, const ConnectionTarget& target) const {
  struct Part {
    const DumpTable* table;
    const postgres::DumpPart* part;
  };
  std::vector<Part> parts;
  for (const DumpTable& table : dump_.manifest().tables) {
    for (const postgres::DumpPart& part : table.parts) {
      parts.push_back({&table, &part});
    }
  }
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.part->bytes > b.part->bytes; });
  std::atomic<size_t> next = 0;
  ThreadPool pool("salvor-load", options_.jobs);
  TaskGroup group(pool, context.stop);
  const Context inner = context.with_stop(group.stop_token());
  for (unsigned worker = 0; worker < options_.jobs; ++worker) {
    group.run([&] {
      Connection connection(inner, target, ConnectionMode::kSql);
      postgres::set_stable_session(inner, connection, kLockTimeout);
      for (size_t i = next++; i < parts.size(); i = next++) {
        const DumpTable& table = *parts[i].table;
        try {
          copy_part(
              inner, connection,
              copy_in_command(table.quoted(), table.columns, dump_.manifest().database.encoding),
              dump_, table, *parts[i].part);
        } catch (Error& error) {
          throw error.within("table " + table.display());
        }
      }
    });
  }
  group.wait();
}

void DatabaseLoader::load_large_objects(const Context& context, Connection& connection) const {
  if (dump_.manifest().large_objects == 0) {
    return;
  }
  run_script(context, connection, "/large-objects/create.sql");
  static_cast<void>(connection.run(
      context, "CREATE TEMPORARY TABLE salvor_large_objects (oid oid, start bigint, data bytea)"));
  const postgres::DumpPart part{"000000.copy", dump_.manifest().large_object_rows, 0};
  connection.begin(context, "COPY pg_temp.salvor_large_objects FROM STDIN");
  if (connection.next(context) != postgres::Step::kCopyIn) {
    throw Error(ErrorCode::kFailed, "the server does not take large objects");
  }
  dump_.stream(context, "/large-objects/" + part.file,
               [&](ByteView bytes) { connection.send(context, bytes); });
  connection.end_copy(context);
  while (connection.next(context) != postgres::Step::kEnd) {
  }
  const auto written =
      connection.run(context,
                     "SELECT count(pg_catalog.lo_put(oid, start, data)), count(*) FROM "
                     "pg_temp.salvor_large_objects");
  if (count_of(written, 1) != part.rows) {
    throw Error(ErrorCode::kDamaged, "the backup's large objects are not complete");
  }
  static_cast<void>(connection.run(context, "DROP TABLE pg_temp.salvor_large_objects"));
  if (!options_.no_owner && !options_.no_privileges) {
    run_script(context, connection, "/large-objects/owners.sql");
  }
}

// By pg_restore on several connections. One that begins with settings which this server does not
// know fails there: what it writes is then run here, on one connection.
void DatabaseLoader::build_indexes(const Context& context, Connection& connection) const {
  const std::string script = section(context, "post-data");
  const int version = connection.server_version();
  if (postgres::without_newer_settings(script, version) != script) {
    static_cast<void>(connection.run(context, postgres::as_statements(script, version)));
    postgres::set_stable_session(context, connection, kLockTimeout);
    return;
  }
  const postgres::ClientAccess access = connection.client_access();
  const postgres::ToolFile archive(archive_);
  std::vector<std::string> arguments = restore_arguments("post-data");
  arguments.insert(arguments.end(), {"--exit-on-error", "--jobs=" + std::to_string(options_.jobs),
                                     "--dbname=" + access.conninfo, archive.path()});
  static_cast<void>(postgres::run_tool(context, {.program = tools_ + "/pg_restore",
                                                 .arguments = std::move(arguments),
                                                 .environment = access.environment,
                                                 .file = &archive}));
}

void DatabaseLoader::load(const Context& context, const ConnectionTarget& target,
                          DatabaseLoadResult& result) {
  Connection connection(context, target, ConnectionMode::kSql);
  postgres::set_stable_session(context, connection, kLockTimeout);
  step("tables, types and functions");
  run_section(context, connection, "pre-data");
  step(fmt::format("rows of {} tables, {} connections", dump_.manifest().tables.size(),
                   options_.jobs));
  load_rows(context, target);
  postgres::set_stable_session(context, connection, kLockTimeout);
  load_large_objects(context, connection);
  step("keys, indexes, constraints");
  build_indexes(context, connection);
  run_script(context, connection, "/schema/sequences.sql");
  run_script(context, connection, "/schema/refresh.sql");
  step("statistics, and every table counted");
  static_cast<void>(connection.run(context, "ANALYZE"));
  verify(context, target, result);
}

void DatabaseLoader::verify(const Context& context, const ConnectionTarget& target,
                            DatabaseLoadResult& result) const {
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> rows = 0;
  ThreadPool pool("salvor-count", options_.jobs);
  TaskGroup group(pool, context.stop);
  const Context inner = context.with_stop(group.stop_token());
  const std::vector<DumpTable>& tables = dump_.manifest().tables;
  for (unsigned worker = 0; worker < options_.jobs; ++worker) {
    group.run([&] {
      Connection connection(inner, target, ConnectionMode::kSql);
      postgres::set_stable_session(inner, connection, kLockTimeout);
      for (size_t i = next++; i < tables.size(); i = next++) {
        const DumpTable& table = tables[i];
        if (table.partitioned || !table.extension.empty()) {
          continue;  // no rows of its own; or also the extension's
        }
        const uint64_t found =
            count_of(connection.run(inner, "SELECT count(*) FROM ONLY " + table.quoted()));
        if (found != table.rows) {
          throw Error(ErrorCode::kFailed,
                      fmt::format("table {} has {} rows after the restore, the backup has {}",
                                  table.display(), found, table.rows),
                      "Nothing was replaced.");
        }
        rows += found;
      }
    });
  }
  group.wait();
  result.rows = rows;
  result.tables = tables.size();
}

void DatabaseLoader::apply_settings(const Context& context, Connection& server,
                                    const std::string& name, DatabaseLoadResult& result) const {
  for (std::string command : dump_.manifest().database.settings) {
    const bool right = command.starts_with("GRANT ") || command.starts_with("REVOKE ");
    if ((right && options_.no_privileges) ||
        (command.starts_with("ALTER ROLE ") && options_.no_owner)) {
      continue;  // as was asked for
    }
    const std::string quoted = Connection::quote_identifier(name);
    const size_t at = command.find("{database}");
    if (at != std::string::npos) {
      command.replace(at, 10, quoted);
    }
    try {
      static_cast<void>(server.run(context, command));
    } catch (const postgres::ServerError& error) {
      // A setting that this server or role does not know is no reason to have no data.
      result.warnings.push_back("not set again: " + printable(command) + ": " + error.message());
    }
  }
}

void DatabaseLoader::take_over(const Context& context, Connection& server, const std::string& side,
                               DatabaseLoadResult& result) const {
  end_connections(context, server, side);
  if (!exists_) {
    rename_databases(context, server, {{side, options_.database}});
    return;
  }
  const std::string old =
      suffixed(options_.database, ".before-" + compact_time(context.clock.now()));
  rename_databases(context, server, {{options_.database, old}, {side, options_.database}});
  result.kept_as = old;
}

// Everything in one transaction: it is all there, or nothing.
void DatabaseLoader::load_in_place(const Context& context, DatabaseLoadResult& result) {
  ConnectionTarget target = options_.server;
  target.database = options_.database;
  Connection connection(context, target, ConnectionMode::kSql);
  postgres::set_stable_session(context, connection, kLockTimeout);
  static_cast<void>(connection.run(context, "BEGIN"));
  try {
    step("tables, types and functions");
    run_section(context, connection, "pre-data");
  } catch (const postgres::ServerError& error) {
    if (error.state() == "42P07" || error.state() == "42710" || error.state() == "42723" ||
        error.state() == "42P06") {
      throw Error(ErrorCode::kFailed, error.message(),
                  "Nothing was changed. The database is not empty: restore single tables (--table "
                  "'*' replaces the rows of all), or into a new database (without --in-place).");
    }
    throw;
  }
  step(fmt::format("rows of {} tables", dump_.manifest().tables.size()));
  for (const DumpTable& table : dump_.manifest().tables) {
    for (const postgres::DumpPart& part : table.parts) {
      try {
        copy_part(
            context, connection,
            copy_in_command(table.quoted(), table.columns, dump_.manifest().database.encoding),
            dump_, table, part);
      } catch (Error& error) {
        throw error.within("table " + table.display());
      }
    }
    result.rows += table.rows;
  }
  postgres::set_stable_session(context, connection, kLockTimeout);
  load_large_objects(context, connection);
  step("keys, indexes, constraints");
  run_section(context, connection, "post-data");
  run_script(context, connection, "/schema/sequences.sql");
  run_script(context, connection, "/schema/refresh.sql");
  result.tables = dump_.manifest().tables.size();
  static_cast<void>(connection.run(context, "COMMIT"));
  static_cast<void>(connection.run(context, "ANALYZE"));
}

DatabaseLoadResult DatabaseLoader::run(const Context& context) {
  DatabaseLoadResult result;
  if (options_.in_place) {
    load_in_place(context, result);
    return result;
  }
  Connection server(context, maintenance(), ConnectionMode::kSql);
  static_cast<void>(server.run(context, "SET statement_timeout = 0"));
  postgres::allow_waiting(context, server);
  const std::string side = side_name(context);
  step("into the new database " + side);
  try {
    static_cast<void>(server.run(context, create_command(server, side)));
  } catch (const postgres::ServerError& error) {
    throw Error(error.code(), error.message(),
                error.code() == ErrorCode::kPermission
                    ? "ALTER ROLE " + Connection::quote_identifier(server.user()) +
                          " CREATEDB; or restore into an existing, empty database with --in-place."
                    : error.hint());
  }
  try {
    ConnectionTarget target = options_.server;
    target.database = side;
    load(context, target, result);
    apply_settings(context, server, side, result);
    step(exists_ ? "the old database makes room" : "it gets its name");
    take_over(context, server, side, result);
  } catch (...) {
    // The stop token may have fired: tidying up must not be stopped by it.
    const Context tidy = context.with_stop({});
    try {
      end_connections(tidy, server, side);
      static_cast<void>(
          server.run(tidy, "DROP DATABASE IF EXISTS " + Connection::quote_identifier(side)));
    } catch (const Error& error) {
      context.events.on(
          Warning{"the unfinished database " + side + " could not be removed: " + error.message(),
                  "Drop it when nobody uses it."});
    }
    throw;
  }
  return result;
}

}  // namespace salvor
