#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/output/backup_report.h"
#include "cli/postgres/backup_proof.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/postgres_options.h"
#include "cli/repository_access.h"
#include "connector/postgres/logical/dump_source.h"
#include "engine/backup/archiver.h"
#include "model/utc_text.h"

namespace salvor::cli {
namespace {

struct Choices {
  PostgresServerOptions server;
  SnapshotLabels labels;
  TableOptions tables;
  std::string name;
  std::string order = "physical";
  std::string roles = "names";
  std::string client_programs;
  uint64_t jobs = 2;
  Size part_size{uint64_t{256} << 20};
  Duration lock_timeout = std::chrono::seconds(60);
  bool no_schema = false;
  bool no_large_objects = false;
  bool allow_pooler = false;
  bool dry_run = false;
};

void check_choices(const Choices& choices) {
  if (choices.jobs == 0 || choices.jobs > 64) {
    throw Error(ErrorCode::kUsage, "--jobs must be between 1 and 64");
  }
  if (choices.part_size.bytes < (uint64_t{1} << 20)) {
    throw Error(ErrorCode::kUsage, "--part-size must be 1M or more");
  }
}

postgres::DumpOptions dump_options(const Choices& choices, const BackupOptions& backup,
                                   const Session& session) {
  postgres::DumpOptions options;
  options.session = {.target = connection_target(choices.server, session.environment),
                     .lock_timeout = std::chrono::ceil<std::chrono::seconds>(choices.lock_timeout),
                     .allow_pooler = choices.allow_pooler};
  options.choice = table_choice(choices.tables);
  options.name = choices.name;
  options.client_programs = choices.client_programs;
  options.schema = !choices.no_schema;
  options.large_objects = !choices.no_large_objects;
  options.roles = choices.roles == "none"        ? postgres::RolesChoice::kNone
                  : choices.roles == "passwords" ? postgres::RolesChoice::kWithPasswords
                                                 : postgres::RolesChoice::kWithoutPasswords;
  options.order_by_key = choices.order == "key";
  options.part_bytes = choices.part_size.bytes;
  options.time = backup.time;
  options.uid = backup.uid;
  options.gid = backup.gid;
  return options;
}

int run(const Choices& choices, Session& session) {
  check_choices(choices);
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  opened.repository->load_index(opened.context);
  BackupOptions backup = snapshot_options(choices.labels, choices.dry_run, session);
  backup.read_concurrency = static_cast<unsigned>(choices.jobs);
  // Each reader fills a piece of 4 MiB while those before it are being stored.
  backup.memory_bytes = (choices.jobs + 2) * (size_t{4} << 20);
  postgres::DumpSource source(opened.context, dump_options(choices, backup, session));
  session.terminal.message(fmt::format("backing up database {}, PostgreSQL {}, {} tables",
                                       source.display(), source.manifest().server_version / 10000,
                                       source.table_count()));
  backup.write.confirm_lock = [&opened](const Context& context) { opened.lock->confirm(context); };
  BackupReport report(session, choices.dry_run);
  Archiver archiver(*opened.repository);
  report.begin(archiver.progress(), [&source] { return source.estimated_bytes(); });
  const BackupResult result = archiver.run(opened.context, source, backup);
  uint64_t rows = 0;
  for (const postgres::DumpTable& table : source.manifest().tables) {
    rows += table.rows;
  }
  session.terminal.message(fmt::format("{} rows of {} tables as of {}", rows,
                                       source.manifest().tables.size(),
                                       utc_text(source.manifest().time)));
  report.end(result);
  return prove_backup(session, opened.context, *opened.repository, result);
}

std::vector<OptionSpec> own_options(Choices& choices) {
  return {
      {.long_name = "jobs",
       .short_name = 'j',
       .value_name = "n",
       .help = "connections that read at the same time",
       .target = &choices.jobs},
      {.long_name = "order",
       .value_name = "order",
       .help = "rows as they lie on the server's disk, or sorted by primary key: slower, and the "
               "same after VACUUM FULL or a restore",
       .target = &choices.order,
       .choices = {"physical", "key"}},
      {.long_name = "part-size",
       .value_name = "size",
       .help = "larger tables are read in parts, by several connections",
       .target = &choices.part_size},
      {.long_name = "roles",
       .value_name = "what",
       .help = "the cluster's roles: not at all, without their passwords, or with them (needs a "
               "superuser)",
       .target = &choices.roles,
       .choices = {"none", "names", "passwords"}},
      {.long_name = "no-schema",
       .help = "only rows: no pg_dump is needed, and it cannot be restored into an empty database",
       .target = &choices.no_schema},
      {.long_name = "no-large-objects",
       .help = "leave large objects out",
       .target = &choices.no_large_objects},
      {.long_name = "lock-timeout",
       .value_name = "duration",
       .help = "how long to wait for a table that is being altered",
       .target = &choices.lock_timeout},
      {.long_name = "allow-pooler",
       .help = "go on through a transaction pooler: the backup is one instant all the same, but "
               "settings may leak into other clients' connections",
       .target = &choices.allow_pooler},
      {.long_name = "server-name",
       .value_name = "name",
       .help = "the server's name in the snapshot's path, where its address changes",
       .target = &choices.name,
       .default_text = "its host"},
      {.long_name = "client-programs",
       .value_name = "directory",
       .help = "the folder of pg_dump, which must not be older than the server",
       .target = &choices.client_programs,
       .default_text = "looked for",
       .hint = ValueHint::kDirectory},
      {.long_name = "dry-run",
       .short_name = 'n',
       .help = "read everything, store nothing",
       .target = &choices.dry_run},
  };
}

}  // namespace

CommandSpec postgres_dump_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options{dbname_option(choices->server)};
  for (auto part :
       {own_options(*choices), label_options(choices->labels), table_options(choices->tables)}) {
    add_options(options, std::move(part));
  }
  return {
      .name = "dump",
      .summary = "Back up one database over a plain connection (logical)",
      .description =
          "Takes a logical backup of one database: all that is needed is a connection URL, as for "
          "Supabase, RDS and other managed servers. All connections see one instant; rows are "
          "stored as COPY writes them, the schema as pg_dump does, so that psql alone brings them "
          "back (docs/postgres-logical.md).\n\n"
          "Rights are checked first, and every table that cannot be read whole is named. On 14 and "
          "later \"GRANT pg_read_all_data\" is enough; tables with row level security need "
          "BYPASSRLS.\n\n"
          "A pooler in transaction mode (Supabase's port 6543) is recognised and refused: use port "
          "5432.",
      .options = std::move(options),
      .examples = {{"salvor postgres dump -d \"$DATABASE_URL\"", "A managed database"},
                   {"salvor postgres dump --label pre-migration --keep 7d",
                    "One line before a migration"},
                   {"salvor postgres dump --table 'public.user*' --exclude-table '*_log'",
                    "Some tables only"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes,
          {{1, "an error; no snapshot was made"},
           {22, "the role lacks a right, which is named"},
           {24, "pg_dump is missing or older than the server, or no table matches"}}),
      .run = [choices](Session& session) { return run(*choices, session); },
  };
}

}  // namespace salvor::cli
