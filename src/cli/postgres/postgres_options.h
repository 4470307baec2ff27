// Options that the PostgreSQL commands share.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/environment.h"
#include "cli/session.h"
#include "connector/postgres/connection.h"
#include "connector/postgres/logical/catalog.h"
#include "engine/backup/archiver.h"
#include "engine/restore/dump_view.h"

namespace salvor::cli {

struct PostgresServerOptions {
  std::string dbname;
};

[[nodiscard]] OptionSpec dbname_option(PostgresServerOptions& options);

// What --dbname says, else $DATABASE_URL, else libpq's own environment (PGHOST, PGSERVICE, ...).
[[nodiscard]] postgres::ConnectionTarget connection_target(const PostgresServerOptions& options,
                                                           const Environment& environment);

// How a new snapshot is called and how long it is kept: --tag, --host, --label, --keep.
struct SnapshotLabels {
  std::vector<std::string> tags;
  std::string host;
  std::string label;
  std::string keep;
};
[[nodiscard]] std::vector<OptionSpec> label_options(SnapshotLabels& labels);
// What all backups of PostgreSQL say about themselves. Throws Error{kUsage} for a bad --keep.
[[nodiscard]] BackupOptions snapshot_options(const SnapshotLabels& labels, bool dry_run,
                                             Session& session);

// --table, --schema and what they leave out.
struct TableOptions {
  std::vector<std::string> tables;
  std::vector<std::string> schemas;
  std::vector<std::string> exclude_tables;
  std::vector<std::string> exclude_schemas;
};
[[nodiscard]] std::vector<OptionSpec> table_options(TableOptions& options);
[[nodiscard]] postgres::TableChoice table_choice(const TableOptions& options);

// Which logical backup: --label, --before, --from-database, --host.
struct DumpChoice {
  std::string label;
  std::string before;
  std::string database;
  std::vector<std::string> hosts;
};
[[nodiscard]] std::vector<OptionSpec> dump_choice_options(DumpChoice& choice);
[[nodiscard]] DumpQuery dump_query(const DumpChoice& choice,
                                   const std::optional<std::string>& snapshot);

// Consent to something that cannot be taken back: --yes, --confirm, or typing a name.
struct Consent {
  bool yes = false;
  std::string confirm;
};
[[nodiscard]] std::vector<OptionSpec> consent_options(Consent& consent);
// Shows `what` and asks for `name` to be typed. Throws Error{kUsage} without consent.
void require_consent(Session& session, const Consent& consent, const std::vector<std::string>& what,
                     const std::string& name);
// The same lines as the result of a dry run.
void show_plan(Session& session, const std::vector<std::string>& what);

}  // namespace salvor::cli
