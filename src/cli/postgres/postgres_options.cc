#include "cli/postgres/postgres_options.h"

#include <iostream>

#include <unistd.h>

#include "base/format.h"
#include "cli/output/text.h"
#include "cli/repository_access.h"
#include "connector/postgres/backup_facts.h"
#include "engine/postgres/recovery_target.h"
#include "engine/snapshots/snapshot_labels.h"

namespace salvor::cli {

OptionSpec dbname_option(PostgresServerOptions& options) {
  return {
      .long_name = "dbname",
      .short_name = 'd',
      .value_name = "connection",
      .help =
          "the server: a URI (postgresql://user@host/db) or key=value pairs; put passwords into "
          "~/.pgpass or $PGPASSWORD, where `ps` does not show them",
      .target = &options.dbname,
      .default_text = "$DATABASE_URL, else libpq's variables such as $PGHOST"};
}

postgres::ConnectionTarget connection_target(const PostgresServerOptions& options,
                                             const Environment& environment) {
  if (!options.dbname.empty()) {
    return {options.dbname};
  }
  return {environment.get("DATABASE_URL").value_or("")};
}

std::vector<OptionSpec> label_options(SnapshotLabels& labels) {
  return {
      {.long_name = "label",
       .value_name = "name",
       .help = "a name for this snapshot, by which it can be restored (tag salvor:label=<name>)",
       .target = &labels.label},
      {.long_name = "keep",
       .value_name = "duration",
       .help = "forget leaves it alone for so long: \"7d\", \"1y6m\" or \"forever\"",
       .target = &labels.keep},
      {.long_name = "host",
       .short_name = 'H',
       .value_name = "hostname",
       .help = "set the hostname for the snapshot manually",
       .target = &labels.host,
       .environment = "HOST"},
      {.long_name = "tag",
       .value_name = "tags",
       .help = "add tags for the new snapshot in the format tag[,tag,...]",
       .target = &labels.tags},
  };
}

BackupOptions snapshot_options(const SnapshotLabels& labels, bool dry_run, Session& session) {
  BackupOptions backup;
  backup.time = LocalZone().stamp(session.context.clock.now());
  backup.hostname = labels.host.empty() ? current_host_name() : labels.host;
  backup.username = current_user_name();
  backup.uid = getuid();
  backup.gid = getgid();
  backup.tags = split_list(labels.tags);
  for (std::string& tag : label_tags(labels.label, labels.keep, backup.time)) {
    backup.tags.push_back(std::move(tag));
  }
  backup.program_version = "salvor " SALVOR_VERSION;
  backup.write = write_options(session.global);
  backup.write.dry_run = dry_run;
  return backup;
}

std::vector<OptionSpec> table_options(TableOptions& options) {
  return {
      {.long_name = "table",
       .short_name = 't',
       .value_name = "pattern",
       .help = "only these tables: \"orders\", \"shop.*\"; may be repeated",
       .target = &options.tables},
      {.long_name = "schema",
       .value_name = "pattern",
       .help = "only these schemas; may be repeated",
       .target = &options.schemas},
      {.long_name = "exclude-table",
       .short_name = 'T',
       .value_name = "pattern",
       .help = "not these tables",
       .target = &options.exclude_tables},
      {.long_name = "exclude-schema",
       .value_name = "pattern",
       .help = "not these schemas",
       .target = &options.exclude_schemas},
  };
}

postgres::TableChoice table_choice(const TableOptions& options) {
  return {options.schemas, options.exclude_schemas, options.tables, options.exclude_tables};
}

std::vector<OptionSpec> dump_choice_options(DumpChoice& choice) {
  return {
      {.long_name = "label",
       .value_name = "name",
       .help = "the backup with this label",
       .target = &choice.label},
      {.long_name = "before",
       .value_name = "time",
       .help = "the newest backup from before this time: \"2026-11-21 08:00:00+01:00\"; without a "
               "zone it is local time",
       .target = &choice.before},
      {.long_name = "from-database",
       .value_name = "name",
       .help = "the database that was backed up, where the repository holds several",
       .target = &choice.database},
      {.long_name = "host",
       .short_name = 'H',
       .value_name = "hostname",
       .help = "only backups made on this host; may be repeated",
       .target = &choice.hosts},
  };
}

DumpQuery dump_query(const DumpChoice& choice, const std::optional<std::string>& snapshot) {
  DumpQuery query;
  query.snapshot = snapshot.value_or("");
  query.label = choice.label;
  query.database = choice.database;
  query.hosts = choice.hosts;
  if (!choice.before.empty()) {
    query.before = parse_target_time(choice.before);
  }
  return query;
}

std::vector<OptionSpec> consent_options(Consent& consent) {
  return {
      {.long_name = "yes", .short_name = 'y', .help = "do not ask", .target = &consent.yes},
      {.long_name = "confirm",
       .value_name = "name",
       .help = "go on only if this is the database's name, instead of typing it",
       .target = &consent.confirm},
  };
}

void show_plan(Session& session, const std::vector<std::string>& what) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("plan");
    json.field("would", what);
    session.terminal.print_json(json.end_object());
    return;
  }
  for (const std::string& line : what) {
    session.terminal.print_line(line);
  }
}

void require_consent(Session& session, const Consent& consent, const std::vector<std::string>& what,
                     const std::string& name) {
  if (consent.yes) {
    return;
  }
  for (const std::string& line : what) {
    session.terminal.raw_error_line(line);
  }
  std::string typed = consent.confirm;
  if (typed.empty() && ::isatty(STDIN_FILENO) == 1 && !session.terminal.json()) {
    session.terminal.prompt("Type " + printable(name) + " to go on: ");
    std::getline(std::cin, typed);
  }
  if (typed != name) {
    throw Error(ErrorCode::kUsage,
                typed.empty() ? "this replaces data and was not confirmed"
                              : "\"" + printable(typed) + "\" is not the name that was asked for",
                "Nothing was changed. Give --confirm " + printable(name) + " or --yes.");
  }
}

}  // namespace salvor::cli
