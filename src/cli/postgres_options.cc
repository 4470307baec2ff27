#include "cli/postgres_options.h"

#include <unistd.h>

#include "cli/repository_access.h"
#include "cli/text.h"
#include "connector/postgres/backup_facts.h"
#include "engine/snapshot_labels.h"

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

std::string utc_text(WallTime time) {
  const std::string text = postgres::format_utc(time);
  return text.substr(0, 10) + " " + text.substr(11, 8) + " UTC";
}

}  // namespace salvor::cli
