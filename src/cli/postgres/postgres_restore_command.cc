
#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/postgres/postgres_commands.h"
#include "cli/postgres/recovery_options.h"
#include "cli/repository_access.h"
#include "engine/postgres/postgres_restore.h"
#include "plan/shell.h"

namespace salvor::cli {
namespace {

struct Choices : RecoveryChoices {
  std::string target;
  std::string existing = "refuse";
  std::string action = "promote";
  std::vector<std::string> tablespaces;
  std::string tablespaces_in;
  std::string binaries;
  std::string superuser = "postgres";
  std::vector<std::string> settings;
  bool copy = false;
  bool dry_run = false;
};

// For a server that somebody else starts later. A password from the environment is not written
// down.
std::string restore_command(const Session& session) {
  std::string command = "'" + own_path() + "' -r '" + repository_location(session) + "'";
  const PasswordSources sources = password_sources(session.global);
  if (sources.file) {
    command += " --password-file '" + *sources.file + "'";
  }
  return command + " wal fetch %f %p";
}

PostgresRestoreOptions restore_options(const Choices& choices, Session& session) {
  if (choices.target.empty()) {
    throw Error(ErrorCode::kUsage, "no target directory was given",
                "Say where the data directory shall be: --target /var/lib/postgresql/15/main");
  }
  PostgresRestoreOptions options;
  options.target = choices.target;
  options.recovery = recovery_target(choices);
  options.existing = choices.existing == "move"        ? ExistingCluster::kMoveAside
                     : choices.existing == "delta"     ? ExistingCluster::kDelta
                     : choices.existing == "overwrite" ? ExistingCluster::kOverwrite
                                                       : ExistingCluster::kRefuse;
  options.after = choices.action == "none"    ? AfterRecovery::kNone
                  : choices.action == "pause" ? AfterRecovery::kPause
                                              : AfterRecovery::kPromote;
  if (options.after == AfterRecovery::kPause && options.recovery.kind == TargetKind::kLatest) {
    throw Error(ErrorCode::kUsage, "--action pause needs a target to pause at",
                "At the end of the WAL a server is promoted. Give --to-time, --to-lsn, --to-xid, "
                "--to-name or --to immediate.");
  }
  for (const std::string& mapping : choices.tablespaces) {
    options.tablespaces.push_back(split_pair(mapping, "--tablespace-mapping"));
  }
  for (const std::string& setting : choices.settings) {
    options.settings.push_back(split_pair(setting, "--set"));
  }
  options.tablespaces_in = choices.tablespaces_in;
  options.copy = choices.copy;
  options.binaries = choices.binaries;
  options.superuser = choices.superuser;
  options.program = own_path();
  options.restore_command = restore_command(session);
  options.on_step = [&session](const std::string& step) { session.terminal.message(step); };
  return options;
}

void print_result(Session& session, const RecoveryPlan& plan, const PostgresRestoreOptions& options,
                  const PostgresRestoreResult& result) {
  Terminal& out = session.terminal;
  if (out.json()) {
    JsonWriter json;
    json.begin_message("summary");
    json.field("snapshot_id", plan.backup.snapshot.id.hex())
        .field("target", options.recovery.display())
        .field("timeline", uint64_t{result.timeline.value})
        .field("databases", result.databases)
        .field("bytes_restored", result.restored_bytes)
        .field("bytes_written", result.written_bytes)
        .field("stopped", result.stopped)
        .field("moved_aside", result.moved_aside);
    out.print_json(json.end_object());
    return;
  }
  out.print_summary(fmt::format(
      "restored {} ({} written) from backup {} to {}", format_bytes(result.restored_bytes),
      format_bytes(result.written_bytes), plan.backup.snapshot.id.short_hex(), options.target));
  if (!result.stopped.empty()) {
    out.print_summary(result.stopped);
  }
  switch (options.after) {
    case AfterRecovery::kPromote:
      out.print_summary(
          fmt::format("recovered to {}, promoted to timeline {}, {} databases checked, stopped: "
                      "start it as usual",
                      options.recovery.display(), result.timeline.value, result.databases));
      break;
    case AfterRecovery::kPause:
      out.print_summary(fmt::format(
          "recovered to {} and checked, {} databases; not promoted: start it to look around, then "
          "SELECT pg_wal_replay_resume()",
          options.recovery.display(), result.databases));
      break;
    case AfterRecovery::kNone:
      out.print_summary("not started: recovery begins when the server is");
      break;
  }
  if (!result.moved_aside.empty()) {
    out.print_summary("the old cluster is in " + result.moved_aside +
                      "; remove it when the new one has proven itself");
  }
}

int run(const Choices& choices, Session& session) {
  PostgresRestoreOptions options = restore_options(choices, session);
  OpenedRepository opened = open_repository(session, {.lock = LockMode::kShared});
  const Context& context = opened.context;
  const auto [archive, plan] =
      plan_recovery(context, *opened.repository, choices, options.recovery);
  session.terminal.message(describe_plan(plan));
  if (choices.dry_run) {
    return 0;
  }
  opened.repository->load_index(context);
  PostgresRestorer restorer(*opened.repository, archive);
  const RecoveryPlan& chosen = plan;
  std::string way_back;
  options.on_moved = [&way_back](const std::string& from, const std::string& to) {
    way_back += "\n  rm -rf " + plan::shell_quoted(from) + " && mv " + plan::shell_quoted(to) +
                " " + plan::shell_quoted(from);
  };
  PostgresRestoreResult result;
  try {
    result =
        run_under_lock(session, opened, [&] { return restorer.run(context, chosen, options); });
  } catch (const Error& error) {
    if (way_back.empty()) {
      throw;
    }
    throw Error(error.code(), error.message(),
                error.hint() + "\nThe old cluster is whole. To have it back:" + way_back);
  }
  print_result(session, plan, options, result);
  return 0;
}

std::vector<OptionSpec> place_options(Choices& choices) {
  return {
      {.long_name = "target",
       .short_name = 't',
       .value_name = "directory",
       .help = "the data directory",
       .target = &choices.target,
       .hint = ValueHint::kDirectory},
      {.long_name = "existing",
       .value_name = "what",
       .help = "what to do with a cluster that is there: move: keep it under another name; delta: "
               "the same, and copy from it what it has of the backup; overwrite: change it into "
               "the restored one, it is lost",
       .target = &choices.existing,
       .choices = {"refuse", "move", "delta", "overwrite"}},
      {.long_name = "tablespace-mapping",
       .value_name = "old=new",
       .help = "put a tablespace elsewhere",
       .target = &choices.tablespaces},
      {.long_name = "tablespaces-in",
       .value_name = "directory",
       .help = "put tablespaces that are not mapped into this directory, by number",
       .target = &choices.tablespaces_in,
       .hint = ValueHint::kDirectory},
      {.long_name = "action",
       .value_name = "action",
       .help = "when the target is reached: promote; pause, not promoted; none: do not start the "
               "server at all",
       .target = &choices.action,
       .choices = {"promote", "pause", "none"}},
      {.long_name = "bin",
       .value_name = "directory",
       .help = "the folder of the server's programs",
       .target = &choices.binaries,
       .default_text = "looked for",
       .hint = ValueHint::kDirectory},
      {.long_name = "superuser",
       .value_name = "role",
       .help = "a superuser of the cluster, for the checks",
       .target = &choices.superuser},
      {.long_name = "copy",
       .help =
           "the original lives on: switch archiving off, so that the copy's history stays out of "
           "its archive",
       .target = &choices.copy},
      {.long_name = "set",
       .value_name = "name=value",
       .help = "a server setting, for the recovery only",
       .target = &choices.settings},
      {.long_name = "dry-run",
       .short_name = 'n',
       .help = "only say which backup would be used and how far the WAL reaches",
       .target = &choices.dry_run},
  };
}

}  // namespace

CommandSpec postgres_restore_spec() {
  auto choices = std::make_shared<Choices>();
  std::vector<OptionSpec> options = target_options(*choices);
  add_options(options, place_options(*choices));
  return {
      .name = "restore",
      .summary = "Bring a cluster back, to any moment",
      .description =
          "Restores a physical backup, starts the server on it on a private socket, recovers to "
          "the moment that was asked for, "
          "opens every database, promotes it, and stops it again: ready to be started as usual.\n\n"
          "The newest backup that can reach the target is chosen; a named one that cannot is "
          "refused, with the one that "
          "can. A hole in the WAL, a storage that is away or a target that is not met never end in "
          "a promoted cluster.\n\n"
          "A directory that is not empty is refused unless --existing says otherwise. A promoted "
          "cluster archives on "
          "under a new timeline, which the next restore follows: for a look or a test give --copy.",
      .positionals = {{.name = "snapshot",
                       .target = &choices->snapshot,
                       .help = "the backup (default: the newest that can reach the target)"}},
      .options = std::move(options),
      .examples = {{"salvor postgres restore --target /var/lib/postgresql/15/main --existing move",
                    "The newest state; the broken cluster is kept"},
                   {"salvor postgres restore --target /srv/look --to-time '2026-11-21 "
                    "08:00:00+01:00' --before --action pause",
                    "As it was before eight, to look at"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes,
          {{1, "the target cannot be reached, or recovery failed; nothing was promoted"}}),
      .run = [choices](Session& session) { return run(*choices, session); },
  };
}

}  // namespace salvor::cli
