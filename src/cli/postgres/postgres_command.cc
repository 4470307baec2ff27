#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/backup_report.h"
#include "cli/postgres/backup_proof.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/postgres_options.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "connector/postgres/directory_source.h"
#include "connector/postgres/physical_source.h"
#include "engine/backup/archiver.h"
#include "engine/postgres/earlier_backup.h"

namespace salvor::cli {
namespace {

// ---- backup

struct BackupChoices {
  PostgresServerOptions server;
  SnapshotLabels labels;
  std::string data_directory;
  std::string checkpoint = "fast";
  uint64_t max_rate_kib = 0;
  uint64_t reread_percent = 5;
  bool full = false;
  bool dry_run = false;
};

void check_choices(const BackupChoices& choices) {
  if (choices.max_rate_kib != 0 && (choices.max_rate_kib < 32 || choices.max_rate_kib > 1048576)) {
    throw Error(ErrorCode::kUsage, "--max-rate must be between 32 and 1048576 KiB/s",
                "These are the server's own limits.");
  }
  if (choices.max_rate_kib != 0 && !choices.data_directory.empty()) {
    throw Error(ErrorCode::kUsage, "--max-rate is the server's, which does not send the files here",
                "Leave it out with --data-directory.");
  }
  if (choices.reread_percent > 100) {
    throw Error(ErrorCode::kUsage, "--reread takes a share from 0 to 100 percent");
  }
}

std::unique_ptr<postgres::ClusterSource> make_source(const BackupChoices& choices, Session& session,
                                                     const Context& context) {
  const postgres::ConnectionTarget target = connection_target(choices.server, session.environment);
  const std::string label = choices.labels.label.empty() ? "salvor" : choices.labels.label;
  const bool fast = choices.checkpoint == "fast";
  if (!choices.data_directory.empty()) {
    return std::make_unique<postgres::DirectorySource>(
        context, postgres::DirectoryOptions{.target = target,
                                            .directory = choices.data_directory,
                                            .label = label,
                                            .fast_checkpoint = fast});
  }
  return std::make_unique<postgres::PhysicalSource>(
      context,
      postgres::PhysicalOptions{.target = target,
                                .label = label,
                                .fast_checkpoint = fast,
                                .max_rate_kib = static_cast<uint32_t>(choices.max_rate_kib)});
}

BackupResult back_up(const BackupChoices& choices, Session& session, OpenedRepository& opened) {
  const std::unique_ptr<postgres::ClusterSource> made =
      make_source(choices, session, opened.context);
  postgres::ClusterSource& source = *made;
  session.terminal.message(fmt::format("backing up PostgreSQL {} at {}, cluster {}",
                                       source.server_version(), source.display(),
                                       source.system_identifier()));
  if (!source.page_checksums()) {
    session.terminal.message(
        "this cluster has no page checksums: damaged pages cannot be found (pg_checksums "
        "--enable)");
  }
  BackupOptions backup = snapshot_options(choices.labels, choices.dry_run, session);
  backup.write.confirm_lock = [&opened](const Context& context) { opened.lock->confirm(context); };
  const auto earlier =
      find_earlier_backup(opened.context, *opened.repository, source.system_identifier());
  if (earlier) {
    postgres::EarlierBackup upon = earlier->describe();
    upon.full = choices.full;
    upon.reread_percent = static_cast<unsigned>(choices.reread_percent);
    source.build_upon(upon,
                      [&session](const std::string& text) { session.terminal.message(text); });
    backup.parent = earlier->backup.snapshot;
    backup.detection.by_source = true;
  }
  BackupReport report(session, choices.dry_run);
  Archiver archiver(*opened.repository);
  report.begin(archiver.progress(), [&source] { return source.estimated_bytes(); });
  BackupResult result = archiver.run(opened.context, source, backup);
  const postgres::BackupFacts& facts = source.facts();
  session.terminal.message(fmt::format("consistent from {} on (started at {}, timeline {})",
                                       facts.stop.text(), facts.start.text(),
                                       facts.timeline.value));
  report.end(result);
  return result;
}

int run_backup(BackupChoices choices, Session& session) {
  check_choices(choices);
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  opened.repository->load_index(opened.context);
  const auto status = [&](const BackupResult& result) {
    return prove_backup(session, opened.context, *opened.repository, result);
  };
  try {
    return status(back_up(choices, session, opened));
  } catch (const postgres::EarlierUnreadable& error) {
    session.terminal.message("the last backup cannot be built upon: " + error.message());
    session.terminal.message("beginning again with a full backup; run `salvor check` as well");
  }
  choices.full = true;
  return status(back_up(choices, session, opened));
}

CommandSpec backup_spec() {
  auto choices = std::make_shared<BackupChoices>();
  CommandSpec spec{
      .name = "backup",
      .summary = "Back up a running cluster (physical)",
      .description =
          "Takes a physical backup of a whole PostgreSQL cluster (13 to 18) over the replication "
          "protocol; "
          "nothing of Salvor's is needed on the database host. The snapshot is the data directory, "
          "tablespaces "
          "included, with the WAL that makes it consistent: a plain \"restic restore\" of it "
          "starts.\n\n"
          "All that arrives is compared with the server's manifest (kept in the snapshot, for "
          "pg_verifybackup), and every page's checksum is verified. Damaged pages are named and "
          "the snapshot is "
          "marked pg:damaged (exit status 3); a backup that is wrong in any other way makes no "
          "snapshot. Afterwards a sample of what was stored is read again.\n\n"
          "The role needs REPLICATION, a pg_hba.conf line for \"replication\", and two free "
          "max_wal_senders. With --data-directory it needs EXECUTE on pg_backup_start and "
          "pg_backup_stop, and REPLICATION for a slot that keeps the WAL meanwhile.",
      .options = {dbname_option(choices->server),
                  {.long_name = "checkpoint",
                   .value_name = "mode",
                   .help = "how the server writes its checkpoint first: at once, or spread over "
                           "minutes to spare its disks",
                   .target = &choices->checkpoint,
                   .choices = {"fast", "spread"}},
                  {.long_name = "data-directory",
                   .value_name = "directory",
                   .help = "read the files from the server's data directory on this machine, on "
                           "several threads, instead of over the connection",
                   .target = &choices->data_directory,
                   .hint = ValueHint::kDirectory},
                  {.long_name = "dry-run",
                   .short_name = 'n',
                   .help = "read everything, store nothing",
                   .target = &choices->dry_run},
                  {.long_name = "full",
                   .help = "read everything (17 and later otherwise send what has changed)",
                   .target = &choices->full},
                  {.long_name = "max-rate",
                   .value_name = "KiB/s",
                   .help = "the most that the server may send a second (0: no limit)",
                   .target = &choices->max_rate_kib},
                  {.long_name = "reread",
                   .value_name = "percent",
                   .help = "the share of the files that each run reads whole although they need "
                           "not be, so that pages which rot are found",
                   .target = &choices->reread_percent}},
      .examples = {{"salvor postgres backup -d postgresql://backup@db.example.com/",
                    "Over the network"},
                   {"salvor postgres backup --label pre-migration --keep 7d",
                    "The server that PGHOST names; by this label it can be restored"}},
      .exit_codes =
          with_exit_codes(kRepositoryExitCodes,
                          {{3, "the backup was made, but holds pages with wrong checksums"},
                           {20, "the backup was made, and a sample of it cannot be read again"}}),
      .run = [choices](Session& session) { return run_backup(*choices, session); },
  };
  add_options(spec.options, label_options(choices->labels));
  return spec;
}

}  // namespace

CommandSpec postgres_command() {
  return {
      .name = "postgres",
      .summary = "Back up and restore PostgreSQL",
      .description =
          "Physical backups of running PostgreSQL clusters and recovery to any moment; logical "
          "backups of single databases over a plain connection.",
      .commands = {backup_spec(), postgres_restore_spec(), postgres_verify_spec(),
                   postgres_dump_spec(), postgres_load_spec(), postgres_undelete_spec(),
                   postgres_export_spec()},
  };
}

}  // namespace salvor::cli
