
#include <fmt/format.h>

#include "base/format.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/postgres_options.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/postgres/database_load.h"
#include "engine/postgres/table_load.h"
#include "model/utc_text.h"

namespace salvor::cli {
namespace {

struct Choices {
  PostgresServerOptions server;
  DumpChoice dump;
  TableOptions tables;
  Consent consent;
  std::optional<std::string> snapshot;
  std::string database;
  std::string into_schema;
  std::vector<std::string> renamed;
  std::string client_programs;
  uint64_t jobs = 2;
  bool in_place = false;
  bool no_owner = false;
  bool no_privileges = false;
  bool dry_run = false;
};

bool whole_database(const Choices& choices) {
  return table_choice(choices.tables).all() && choices.into_schema.empty() &&
         choices.renamed.empty();
}

void print_result(Session& session, const DumpView& dump, const std::string& place, uint64_t tables,
                  uint64_t rows, const std::string& kept_as,
                  const std::vector<std::string>& warnings) {
  Terminal& out = session.terminal;
  for (const std::string& warning : warnings) {
    out.warn(warning);
  }
  if (out.json()) {
    JsonWriter json;
    json.begin_message("summary");
    json.field("snapshot_id", dump.stored().id.hex())
        .field("target", place)
        .field("tables", tables)
        .field("rows", rows)
        .field("kept_as", kept_as);
    out.print_json(json.end_object());
    return;
  }
  out.print_summary(fmt::format("restored {} rows of {} tables into {}, as of {}; all counted",
                                rows, tables, printable(place), utc_text(dump.manifest().time)));
  if (!kept_as.empty()) {
    out.print_summary(fmt::format(
        "the old database is {0}; when the new one has proven itself: DROP DATABASE {1}",
        printable(kept_as), printable(postgres::Connection::quote_identifier(kept_as))));
  }
  out.print_summary("If the application is newer than this backup, run its migrations now.");
}

int load_database(const Choices& choices, Session& session, OpenedRepository& opened,
                  const DumpView& dump) {
  DatabaseLoadOptions options;
  options.server = connection_target(choices.server, session.environment);
  options.database = choices.database;
  if (options.database.empty()) {
    options.database = postgres::named_database(options.server);
  }
  if (options.database.empty()) {
    options.database = dump.manifest().database.name;
  }
  options.jobs = static_cast<unsigned>(choices.jobs);
  options.client_programs = choices.client_programs;
  options.in_place = choices.in_place;
  options.no_owner = choices.no_owner;
  options.no_privileges = choices.no_privileges;
  options.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  DatabaseLoader loader(dump, options);
  const DatabaseImpact impact = loader.examine(opened.context);
  std::vector<std::string> what;
  if (impact.exists && !choices.in_place) {
    what.push_back(fmt::format("database {} at {} would be replaced: {} tables, about {} rows, {}",
                               printable(impact.database), impact.server, impact.tables,
                               impact.rows, format_bytes(impact.bytes)));
    what.push_back(
        fmt::format("{} connections to it would be ended; it would be kept under "
                    "another name",
                    impact.connections));
  } else {
    what.push_back(fmt::format("database {} at {} would be {}", printable(impact.database),
                               impact.server, impact.exists ? "filled" : "made"));
  }
  if (choices.dry_run) {
    show_plan(session, what);
    return 0;
  }
  if (impact.exists && (!choices.in_place || impact.tables > 0)) {
    require_consent(session, choices.consent, what, impact.database);
  }
  const DatabaseLoadResult result =
      run_under_lock(session, opened, [&] { return loader.run(opened.context); });
  print_result(session, dump, impact.database, result.tables, result.rows, result.kept_as,
               result.warnings);
  return 0;
}

std::map<std::string, std::string> new_names(const Choices& choices) {
  std::map<std::string, std::string> names;
  for (const std::string& pair : choices.renamed) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == pair.size()) {
      throw Error(ErrorCode::kUsage, "--rename takes old=new, not \"" + printable(pair) + "\"");
    }
    names[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return names;
}

int load_tables(const Choices& choices, Session& session, OpenedRepository& opened,
                const DumpView& dump) {
  TableLoadOptions options;
  options.target = connection_target(choices.server, session.environment);
  if (!choices.database.empty()) {
    options.target.database = choices.database;
  } else if (postgres::named_database(options.target).empty()) {
    options.target.database = dump.manifest().database.name;
  }
  options.choice = table_choice(choices.tables);
  options.into_schema = choices.into_schema;
  options.renamed = new_names(choices);
  if (options.choice.all()) {
    for (const auto& [old, name] : options.renamed) {
      options.choice.tables.push_back(old);
    }
  }
  options.client_programs = choices.client_programs;
  options.no_owner = choices.no_owner;
  options.no_privileges = choices.no_privileges;
  options.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  TableLoader loader(dump, options);
  std::vector<std::string> what;
  bool destroys = false;
  std::string place;
  for (const TableImpact& impact : loader.examine(opened.context)) {
    destroys = destroys || impact.destroys();
    what.push_back(impact.exists
                       ? fmt::format("table {}: {} rows would be replaced by {}",
                                     printable(impact.target), impact.rows_now, impact.table->rows)
                       : fmt::format("table {} would be made, {} rows", printable(impact.target),
                                     impact.table->rows));
    for (const LivePartition& partition : impact.made_since) {
      what.push_back(fmt::format("partition {}, made since the backup: {} rows would be removed",
                                 printable(partition.display()), partition.rows));
    }
    place = place.empty() ? impact.target : "several tables";
  }
  if (choices.dry_run) {
    show_plan(session, what);
    return 0;
  }
  if (destroys) {
    const std::string database = postgres::named_database(options.target);
    require_consent(session, choices.consent, what, database);
  }
  const TableLoadResult result =
      run_under_lock(session, opened, [&] { return loader.run(opened.context); });
  print_result(session, dump, place, result.tables, result.rows, "", result.warnings);
  return 0;
}

int run(const Choices& choices, Session& session) {
  if (choices.jobs == 0 || choices.jobs > 64) {
    throw Error(ErrorCode::kUsage, "--jobs must be between 1 and 64");
  }
  OpenedRepository opened = open_repository(session, {.lock = LockMode::kShared});
  opened.repository->load_index(opened.context);
  const DumpView dump(
      opened.context, *opened.repository,
      find_dump(opened.context, *opened.repository, dump_query(choices.dump, choices.snapshot)));
  session.terminal.message(
      fmt::format("backup {} of database {} as of {}", dump.stored().id.short_hex(),
                  printable(dump.manifest().database.name), utc_text(dump.manifest().time)));
  return whole_database(choices) ? load_database(choices, session, opened, dump)
                                 : load_tables(choices, session, opened, dump);
}

std::vector<OptionSpec> own_options(Choices& choices) {
  return {
      {.long_name = "database",
       .value_name = "name",
       .help = "the database to restore into; it need not exist",
       .target = &choices.database,
       .default_text = "that of the connection, else the backup's"},
      {.long_name = "into-schema",
       .value_name = "name",
       .help = "restore tables into another schema, as plain tables",
       .target = &choices.into_schema},
      {.long_name = "rename",
       .value_name = "old=new",
       .help = "restore a table under another name, as a plain table; may be repeated",
       .target = &choices.renamed},
      {.long_name = "in-place",
       .help = "into an existing, empty database, in one transaction: where none can be made",
       .target = &choices.in_place},
      {.long_name = "no-owner",
       .help = "everything belongs to the role that restores",
       .target = &choices.no_owner},
      {.long_name = "no-privileges", .help = "restore no rights", .target = &choices.no_privileges},
      {.long_name = "jobs",
       .short_name = 'j',
       .value_name = "n",
       .help = "connections that write at the same time",
       .target = &choices.jobs},
      {.long_name = "client-programs",
       .value_name = "directory",
       .help = "the folder of pg_restore",
       .target = &choices.client_programs,
       .default_text = "looked for",
       .hint = ValueHint::kDirectory},
      {.long_name = "dry-run",
       .short_name = 'n',
       .help = "only say what would be replaced",
       .target = &choices.dry_run},
  };
}

}  // namespace

CommandSpec postgres_load_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options{dbname_option(choices->server)};
  for (auto part : {own_options(*choices), dump_choice_options(choices->dump),
                    table_options(choices->tables), consent_options(choices->consent)}) {
    add_options(options, std::move(part));
  }
  return {
      .name = "load",
      .summary = "Restore a logical backup: a database, a schema, or tables",
      .description =
          "Brings back what \"postgres dump\" has stored.\n\n"
          "A whole database is restored into a new one beside the old, counted, and only then gets "
          "the name; the old one is kept under another name. Tables (--table, --schema) are "
          "replaced in one transaction, with their foreign keys checked again, or made anew when "
          "they are missing; sequences never go back. --rename and --into-schema put old rows "
          "beside the new ones. Whatever fails leaves everything as it was.\n\n"
          "What would be replaced is shown first and must be confirmed: by typing the database's "
          "name, --confirm or --yes.",
      .positionals = {{.name = "snapshot",
                       .target = &choices->snapshot,
                       .help = "the backup (default: the newest)"}},
      .options = std::move(options),
      .examples = {{"salvor postgres load --label pre-migration -d postgresql://app@db/shop",
                    "Back to before the migration"},
                   {"salvor postgres load -d postgresql://localhost/ --database shop_copy",
                    "A copy beside it"},
                   {"salvor postgres load --table orders --rename orders=orders_yesterday",
                    "Yesterday's rows, to look at"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{1, "the restore failed; what was there before is untouched"},
                                 {24, "no such backup or table, or pg_restore is missing"},
                                 {64, "wrong usage, or what would be replaced was not confirmed"}}),
      .run = [choices](Session& session) { return run(*choices, session); },
  };
}

}  // namespace salvor::cli
