#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/backup_report.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/postgres_options.h"
#include "cli/repository_access.h"
#include "connector/postgres/logical/export_source.h"
#include "engine/backup/archiver.h"

namespace salvor::cli {
namespace {

struct Choices {
  PostgresServerOptions server;
  SnapshotLabels labels;
  TableOptions tables;
  std::vector<std::string> columns;
  std::vector<std::string> exclude_columns;
  std::vector<std::string> masks;
  std::vector<std::string> where;
  std::string format = "jsonl";
  std::string name;
  uint64_t jobs = 2;
  bool allow_pooler = false;
  bool dry_run = false;
};

std::vector<std::pair<std::string, std::string>> pairs(const std::vector<std::string>& texts,
                                                       const char* option) {
  std::vector<std::pair<std::string, std::string>> list;
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      throw Error(ErrorCode::kUsage, std::string(option) + " \"" + printable(text) +
                                         "\" is not of the form name=value");
    }
    list.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return list;
}

postgres::ExportOptions export_options(const Choices& choices, const BackupOptions& backup,
                                       Session& session) {
  postgres::ExportOptions options;
  options.session = {.target = connection_target(choices.server, session.environment),
                     .allow_pooler = choices.allow_pooler};
  options.choice = table_choice(choices.tables);
  options.format =
      choices.format == "csv" ? postgres::ExportFormat::kCsv : postgres::ExportFormat::kJsonLines;
  options.columns = pairs(choices.columns, "--columns");
  options.exclude_columns = choices.exclude_columns;
  options.masks = pairs(choices.masks, "--mask");
  options.where = pairs(choices.where, "--where");
  options.name = choices.name;
  options.salt = fmt::format("{:016x}{:016x}", session.context.random.next_u64(),
                             session.context.random.next_u64());
  options.time = backup.time;
  options.uid = backup.uid;
  options.gid = backup.gid;
  return options;
}

int run(const Choices& choices, Session& session) {
  if (choices.jobs == 0 || choices.jobs > 64) {
    throw Error(ErrorCode::kUsage, "--jobs must be between 1 and 64");
  }
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  opened.repository->load_index(opened.context);
  BackupOptions backup = snapshot_options(choices.labels, choices.dry_run, session);
  backup.read_concurrency = static_cast<unsigned>(choices.jobs);
  backup.memory_bytes = (choices.jobs + 2) * (size_t{4} << 20);
  postgres::ExportSource source(opened.context, export_options(choices, backup, session));
  session.terminal.message(
      fmt::format("exporting {} tables of {}", source.table_count(), printable(source.display())));
  backup.write.confirm_lock = [&opened](const Context& context) { opened.lock->confirm(context); };
  BackupReport report(session, choices.dry_run);
  Archiver archiver(*opened.repository);
  report.begin(archiver.progress(), [] { return uint64_t{0}; });
  const BackupResult result = archiver.run(opened.context, source, backup);
  session.terminal.message(fmt::format("{} rows", source.rows()));
  report.end(result);
  return result.errors > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

std::vector<OptionSpec> own_options(Choices& choices) {
  return {
      {.long_name = "columns",
       .value_name = "table=a,b",
       .help = "only these columns of a table; may be repeated",
       .target = &choices.columns},
      {.long_name = "exclude-column",
       .value_name = "pattern",
       .help = "leave columns out: \"password\", \"users.*_hash\"",
       .target = &choices.exclude_columns},
      {.long_name = "mask",
       .value_name = "column=mask",
       .help = "write something else in a column's place: null, redact, hash, email or last4",
       .target = &choices.masks},
      {.long_name = "where",
       .short_name = 'w',
       .value_name = "table=condition",
       .help = "only these rows, in SQL",
       .target = &choices.where},
      {.long_name = "format",
       .value_name = "format",
       .help = "JSON, one object a line, or CSV with a header",
       .target = &choices.format,
       .choices = {"jsonl", "csv"}},
      {.long_name = "jobs",
       .short_name = 'j',
       .value_name = "n",
       .help = "connections that read at the same time",
       .target = &choices.jobs},
      {.long_name = "server-name",
       .value_name = "name",
       .help = "the server's name in the snapshot's path",
       .target = &choices.name,
       .default_text = "its host"},
      {.long_name = "allow-pooler",
       .help = "go on through a transaction pooler",
       .target = &choices.allow_pooler},
      {.long_name = "dry-run",
       .short_name = 'n',
       .help = "read everything, store nothing",
       .target = &choices.dry_run},
  };
}

}  // namespace

CommandSpec postgres_export_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options{dbname_option(choices->server)};
  for (auto part :
       {own_options(*choices), label_options(choices->labels), table_options(choices->tables)}) {
    add_options(options, std::move(part));
  }
  return {
      .name = "export",
      .summary = "Store chosen rows and columns as JSON lines or CSV",
      .description =
          "Makes a snapshot of files for people and programs: chosen tables and columns, filtered "
          "rows, sensitive columns left out or masked. It is not a backup to restore a database "
          "from.\n\n"
          "All files show one instant. Rows are in the order of the primary key. A table, column "
          "or "
          "mask that matches nothing is an error: a mistyped name must not leave data in the "
          "clear.\n\n"
          "The mask \"hash\" keeps equal values equal within one export, not between exports.",
      .options = std::move(options),
      .examples = {{"salvor postgres export --table users --exclude-column password_hash --mask "
                    "email=email --where \"users=deleted IS NULL\"",
                    "Users, without what nobody should see"},
                   {"salvor dump latest /tables/public.users.jsonl", "What was exported"}},
      .exit_codes =
          with_exit_codes(kRepositoryExitCodes,
                          {{22, "the role may not read a table, which is named"},
                           {24, "no table matches"},
                           {64, "wrong usage, a column that is not there, or a bad condition"}}),
      .run = [choices](Session& session) { return run(*choices, session); },
  };
}

}  // namespace salvor::cli
