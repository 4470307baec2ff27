#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/table.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/postgres_options.h"
#include "cli/postgres/recovery_options.h"
#include "cli/repository_access.h"
#include "engine/postgres/past_rows.h"
#include "engine/postgres/undelete.h"
#include "engine/snapshots/snapshot_filter.h"
#include "model/utc_text.h"

namespace salvor::cli {
namespace {

// For rows from physical backups and WAL.
struct ScratchChoices {
  std::string scratch;
  std::string binaries;
  std::string superuser = "postgres";
  std::vector<std::string> settings;
  std::optional<uint64_t> system;
};

struct Choices {
  PostgresServerOptions server;
  DumpChoice dump;
  Consent consent;
  std::optional<std::string> snapshot;
  std::string table;
  std::string where;
  uint64_t shown = 20;
  bool related = false;
  bool overwrite = false;
  bool fire_triggers = false;
  bool dry_run = false;
  ScratchChoices physical;
};

std::vector<OptionSpec> scratch_options(ScratchChoices& choices) {
  return {
      {.long_name = "scratch",
       .value_name = "directory",
       .help = "take the rows from physical backups and WAL: recovered to --before by a throw-away "
               "server in this directory",
       .target = &choices.scratch,
       .hint = ValueHint::kDirectory},
      {.long_name = "bin",
       .value_name = "directory",
       .help = "the folder of the server's programs, for --scratch",
       .target = &choices.binaries,
       .default_text = "looked for",
       .hint = ValueHint::kDirectory},
      {.long_name = "superuser",
       .value_name = "role",
       .help = "a superuser of the recovered cluster, for --scratch",
       .target = &choices.superuser},
      {.long_name = "set",
       .value_name = "name=value",
       .help = "a server setting, for --scratch, where nothing is preloaded otherwise",
       .target = &choices.settings},
      {.long_name = "system-id",
       .value_name = "number",
       .help = "the cluster, where the repository holds several",
       .target = &choices.system},
  };
}

RecoveredRowsOptions recovered_rows(const Choices& choices, Session& session,
                                    const OpenedRepository& opened) {
  RecoveredRowsOptions options;
  options.scratch = choices.physical.scratch;
  options.system = choices.physical.system;
  options.database =
      postgres::named_database(connection_target(choices.server, session.environment));
  if (options.database.empty()) {
    throw Error(ErrorCode::kUsage, "no database was named",
                "Name it in the connection: -d postgresql://host/shop");
  }
  if (choices.snapshot && *choices.snapshot != "latest") {
    options.backup = find_snapshot(opened.context, *opened.repository, *choices.snapshot, {}).id;
  }
  if (!choices.dump.before.empty()) {
    options.restore.recovery.kind = TargetKind::kTime;
    options.restore.recovery.time = parse_target_time(choices.dump.before);
    options.restore.recovery.inclusive = false;
  }
  options.restore.binaries = choices.physical.binaries;
  options.restore.superuser = choices.physical.superuser;
  for (const std::string& setting : choices.physical.settings) {
    options.restore.settings.push_back(split_pair(setting, "--set"));
  }
  options.restore.program = own_path();
  options.restore.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  return options;
}

std::string cell(const std::optional<std::string>& value) {
  constexpr size_t kWidth = 40;
  if (!value) {
    return "NULL";
  }
  const std::string text = printable(*value);
  return text.size() <= kWidth ? text : text.substr(0, kWidth - 3) + "...";
}

void print_json(Session& session, const UndeletePreview& preview) {
  JsonWriter json;
  json.begin_message("table");
  json.field("table", preview.table)
      .field("chosen", preview.chosen)
      .field("missing", preview.missing)
      .field("changed", preview.changed)
      .field("same", preview.same)
      .field("conflicts", preview.conflicts)
      .field("notes", preview.notes);
  json.key("missing_rows").begin_array();
  for (const auto& row : preview.missing_rows) {
    json.begin_object();
    for (size_t i = 0; i < row.size(); ++i) {
      json.key(preview.columns[i]);
      row[i] ? json.value(*row[i]) : json.null();
    }
    json.end_object();
  }
  json.end_array().key("changes").begin_array();
  for (const UndeletePreview::Change& change : preview.changes) {
    json.begin_object().field("key", change.key).field("column", change.column).key("then");
    change.then ? json.value(*change.then) : json.null();
    json.key("now");
    change.now ? json.value(*change.now) : json.null();
    json.end_object();
  }
  json.end_array();
  session.terminal.print_json(json.end_object());
}

void print_text(Session& session, const UndeletePreview& preview, bool overwrite) {
  Terminal& out = session.terminal;
  out.print_line(fmt::format("table {}: {} rows chosen, {} missing, {} changed since, {} the same",
                             printable(preview.table), preview.chosen, preview.missing,
                             preview.changed, preview.same));
  for (const std::string& note : preview.notes) {
    out.print_line("  note: " + printable(note));
  }
  for (const std::string& conflict : preview.conflicts) {
    out.print_line("  conflict: " + printable(conflict));
  }
  if (!preview.missing_rows.empty()) {
    out.print_line("would be inserted:");
    Table table;
    for (const std::string& column : preview.columns) {
      table.add_column(printable(column));
    }
    for (const auto& row : preview.missing_rows) {
      std::vector<std::string> cells;
      for (const auto& value : row) {
        cells.push_back(cell(value));
      }
      table.add_row(std::move(cells));
    }
    if (preview.missing > preview.missing_rows.size()) {
      table.add_footer(fmt::format("and {} more", preview.missing - preview.missing_rows.size()));
    }
    out.print(table.text());
  }
  if (!preview.changes.empty()) {
    out.print_line(overwrite ? "would be put back:" : "are left as they are (--overwrite):");
    Table table;
    for (const char* const header : {"row", "column", "then", "now"}) {
      table.add_column(header);
    }
    for (const UndeletePreview::Change& change : preview.changes) {
      table.add_row(
          {printable(change.key), printable(change.column), cell(change.then), cell(change.now)});
    }
    out.print(table.text());
  }
}

int undelete(const Choices& choices, Session& session, OpenedRepository& opened,
             const PastRows& past) {
  UndeleteOptions options;
  options.target = connection_target(choices.server, session.environment);
  if (postgres::named_database(options.target).empty()) {
    options.target.database = past.manifest().database.name;
  }
  options.table = choices.table;
  options.where = choices.where;
  options.related = choices.related;
  options.overwrite = choices.overwrite;
  options.fire_triggers = choices.fire_triggers;
  options.shown_rows = choices.shown;
  options.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  Undelete work(opened.context, past, options);
  uint64_t missing = 0;
  uint64_t changed = 0;
  std::vector<std::string> what;
  for (const UndeletePreview& preview : work.examine(opened.context)) {
    session.terminal.json() ? print_json(session, preview)
                            : print_text(session, preview, choices.overwrite);
    missing += preview.missing;
    changed += choices.overwrite ? preview.changed : 0;
    if (preview.missing > 0 || (choices.overwrite && preview.changed > 0)) {
      what.push_back(fmt::format("{}: {} rows inserted, {} put back", printable(preview.table),
                                 preview.missing, choices.overwrite ? preview.changed : 0));
    }
  }
  session.terminal.flush();
  if (missing + changed == 0) {
    session.terminal.print_summary("nothing to do");
    return 0;
  }
  if (choices.dry_run) {
    session.terminal.print_summary("nothing was changed (--dry-run)");
    return 0;
  }
  require_consent(session, choices.consent, what, postgres::named_database(options.target));
  const UndeleteResult result =
      run_under_lock(session, opened, [&] { return work.apply(opened.context); });
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary");
    json.field("inserted", result.inserted).field("updated", result.updated);
    session.terminal.print_json(json.end_object());
  } else {
    session.terminal.print_summary(
        fmt::format("{} rows inserted, {} put back", result.inserted, result.updated));
  }
  return 0;
}

int run(const Choices& choices, Session& session) {
  if (choices.table.empty()) {
    throw Error(ErrorCode::kUsage, "no table was given", "Say which: --table orders");
  }
  OpenedRepository opened = open_repository(session, {.lock = LockMode::kShared});
  opened.repository->load_index(opened.context);
  if (!choices.physical.scratch.empty()) {
    const RecoveredRows past(opened.context, *opened.repository,
                             recovered_rows(choices, session, opened));
    return undelete(choices, session, opened, past);
  }
  const DumpView dump(
      opened.context, *opened.repository,
      find_dump(opened.context, *opened.repository, dump_query(choices.dump, choices.snapshot)));
  session.terminal.message(fmt::format("rows as of {}, backup {} of database {}",
                                       utc_text(dump.manifest().time), dump.stored().id.short_hex(),
                                       printable(dump.manifest().database.name)));
  const DumpRows past(dump);
  return undelete(choices, session, opened, past);
}

std::vector<OptionSpec> own_options(Choices& choices) {
  return {
      {.long_name = "table",
       .short_name = 't',
       .value_name = "name",
       .help = "the table: \"orders\" or \"shop.orders\"",
       .target = &choices.table},
      {.long_name = "where",
       .short_name = 'w',
       .value_name = "condition",
       .help = "which of its rows, in SQL, by their values then (default: all that are missing)",
       .target = &choices.where},
      {.long_name = "related",
       .help = "also the rows that refer to them, and rows that they refer to and that are gone",
       .target = &choices.related},
      {.long_name = "overwrite",
       .help = "rows that have changed since become again what they were",
       .target = &choices.overwrite},
      {.long_name = "fire-triggers",
       .help = "let the tables' triggers run (switching them off needs their owner)",
       .target = &choices.fire_triggers},
      {.long_name = "rows",
       .value_name = "n",
       .help = "how many rows of each kind are shown",
       .target = &choices.shown},
      {.long_name = "dry-run", .short_name = 'n', .help = "only show", .target = &choices.dry_run},
  };
}

}  // namespace

CommandSpec postgres_undelete_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options{dbname_option(choices->server)};
  for (auto part : {own_options(*choices), dump_choice_options(choices->dump),
                    scratch_options(choices->physical), consent_options(choices->consent)}) {
    add_options(options, std::move(part));
  }
  return {
      .name = "undelete",
      .summary = "Bring chosen rows back into the live database",
      .description =
          "Takes rows as they were in a logical backup, or, with --scratch, at any moment that "
          "physical backups and WAL reach, compares them with the live table by primary key, shows "
          "what is missing and what has changed, and after consent inserts what is missing in one "
          "transaction, parents first. Rows that are there are left alone unless --overwrite is "
          "given.\n\n"
          "--where is SQL, run on a temporary copy of the table in a read-only transaction. "
          "Triggers "
          "do not fire, sequences stay where they are.",
      .positionals = {{.name = "snapshot",
                       .target = &choices->snapshot,
                       .help = "the backup (default: the newest before --before)"}},
      .options = std::move(options),
      .examples =
          {{"salvor postgres undelete --table orders --where \"customer = 7\" --related --before "
            "'2026-11-21 08:00:00+01:00'",
            "Show, ask, and bring back a customer's orders with their lines"},
           {"salvor postgres undelete -t users --scratch /srv/scratch --before '2026-11-21 "
            "08:00:00Z' "
            "-n",
            "As of a second, from physical backups and WAL"}},
      .exit_codes =
          with_exit_codes(kRepositoryExitCodes,
                          {{1, "a conflict, or the tables changed meanwhile; nothing was written"},
                           {24, "no such backup or table"},
                           {64, "wrong usage, a bad --where, or not confirmed"}}),
      .run = [choices](Session& session) { return run(*choices, session); },
  };
}

}  // namespace salvor::cli
