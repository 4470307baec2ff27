#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/postgres_commands.h"
#include "cli/repository_access.h"
#include "engine/postgres_restore.h"
#include "engine/snapshot_filter.h"

namespace salvor::cli {
namespace {

struct Choices {
  std::optional<std::string> snapshot;
  std::string target;
  std::string to;
  std::string time;
  std::string lsn;
  std::string xid;
  std::string name;
  bool before = false;
  std::string timeline;
  std::optional<uint64_t> system;
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

RecoveryTarget recovery_target(const Choices& choices) {
  RecoveryTarget target;
  int given = 0;
  const auto choose = [&](const std::string& value, TargetKind kind) {
    if (!value.empty()) {
      target.kind = kind;
      target.text = value;
      ++given;
    }
  };
  choose(choices.time, TargetKind::kTime);
  choose(choices.lsn, TargetKind::kLsn);
  choose(choices.xid, TargetKind::kTransaction);
  choose(choices.name, TargetKind::kName);
  choose(choices.to == "immediate" ? choices.to : "", TargetKind::kImmediate);
  choose(choices.to == "latest" ? choices.to : "", TargetKind::kLatest);
  if (given > 1) {
    throw Error(ErrorCode::kUsage, "more than one recovery target was given",
                "Choose one of --to, --to-time, --to-lsn, --to-xid and --to-name.");
  }
  if (target.kind == TargetKind::kTime) {
    target.time = parse_target_time(choices.time);
  }
  if (target.kind == TargetKind::kLsn) {
    const auto lsn = postgres::Lsn::parse(choices.lsn);
    if (!lsn) {
      throw Error(ErrorCode::kUsage, "\"" + printable(choices.lsn) + "\" is not a log position",
                  "Write it as PostgreSQL does: 16/B374D848.");
    }
    target.lsn = *lsn;
  }
  if (target.kind == TargetKind::kTransaction &&
      choices.xid.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(ErrorCode::kUsage, "--to-xid takes a transaction's number");
  }
  target.inclusive = !choices.before;
  if (choices.timeline == "current") {
    target.own_timeline = true;
  } else if (!choices.timeline.empty() && choices.timeline != "latest") {
    uint32_t number = 0;
    const char* const end = choices.timeline.data() + choices.timeline.size();
    if (std::from_chars(choices.timeline.data(), end, number).ptr != end || number == 0) {
      throw Error(ErrorCode::kUsage, "--timeline takes \"latest\", \"current\" or a number");
    }
    target.timeline = postgres::Timeline{number};
  }
  return target;
}

std::pair<std::string, std::string> split_pair(const std::string& text, const char* option) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw Error(ErrorCode::kUsage,
                std::string(option) + " \"" + printable(text) + "\" has no \"=\"");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string own_path() {
  std::string path(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? static_cast<size_t>(length) : 0);
  return path.empty() ? "salvor" : path;
}

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
  options.existing = choices.existing == "move"    ? ExistingCluster::kMoveAside
                     : choices.existing == "delta" ? ExistingCluster::kDelta
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

uint64_t chosen_system(const std::vector<PhysicalBackup>& backups, const Choices& choices,
                       const std::optional<SnapshotId>& named) {
  if (choices.system) {
    return *choices.system;
  }
  std::vector<uint64_t> systems;
  for (const PhysicalBackup& backup : backups) {
    if (named && backup.snapshot.id == *named) {
      return backup.facts.system_identifier;
    }
    if (std::find(systems.begin(), systems.end(), backup.facts.system_identifier) ==
        systems.end()) {
      systems.push_back(backup.facts.system_identifier);
    }
  }
  if (systems.size() > 1) {
    throw Error(ErrorCode::kUsage, "the repository holds backups of several clusters",
                "Name a snapshot, or choose with --system-id. `salvor snapshots --tag postgresql` "
                "lists them.");
  }
  return systems.empty() ? 0 : systems.front();
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
  const PostgresRestoreOptions options = restore_options(choices, session);
  OpenedRepository opened = open_repository(session, {.lock = LockMode::kShared});
  const Context& context = opened.context;
  std::optional<SnapshotId> named;
  if (choices.snapshot && *choices.snapshot != "latest") {
    named = find_snapshot(context, *opened.repository, *choices.snapshot, {}).id;
  }
  std::vector<PhysicalBackup> backups = physical_backups(context, *opened.repository);
  const uint64_t system = chosen_system(backups, choices, named);
  std::erase_if(backups, [&](const PhysicalBackup& backup) {
    return backup.facts.system_identifier != system;
  });
  const WalArchive archive = open_wal_archive(context, *opened.repository, system);
  const RecoveryPlan plan = plan_recovery(backups, archive.survey(context), archive.segment_size(),
                                          options.recovery, named);
  session.terminal.message(fmt::format("backup {} of {}, WAL up to {} on timeline {}",
                                       plan.backup.snapshot.id.short_hex(),
                                       postgres::format_utc(plan.backup.facts.stop_time),
                                       plan.reach.end.text(), plan.reach.timeline.value));
  if (choices.dry_run) {
    return 0;
  }
  opened.repository->load_index(context);
  PostgresRestorer restorer(*opened.repository, archive);
  const PostgresRestoreResult result =
      run_under_lock(session, opened, [&] { return restorer.run(context, plan, options); });
  print_result(session, plan, options, result);
  return 0;
}

std::vector<OptionSpec> target_options(Choices& choices) {
  return {
      {.long_name = "to",
       .value_name = "where",
       .help = "recover to the end of the WAL, or just to the end of the backup",
       .target = &choices.to,
       .choices = {"latest", "immediate"},
       .default_text = "latest"},
      {.long_name = "to-time",
       .value_name = "time",
       .help =
           "recover to a moment: \"2026-11-21 08:00:00+01:00\"; without a zone it is local time",
       .target = &choices.time},
      {.long_name = "to-lsn",
       .value_name = "position",
       .help = "recover to a log position",
       .target = &choices.lsn},
      {.long_name = "to-xid",
       .value_name = "number",
       .help = "recover to a transaction's commit",
       .target = &choices.xid},
      {.long_name = "to-name",
       .value_name = "name",
       .help = "recover to a restore point (pg_create_restore_point)",
       .target = &choices.name},
      {.long_name = "before",
       .help = "stop just before the target, not just after it",
       .target = &choices.before},
      {.long_name = "timeline",
       .value_name = "timeline",
       .help = "\"latest\", \"current\" (the backup's own) or a number",
       .target = &choices.timeline,
       .default_text = "latest"},
  };
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
       .help = "what to do with a cluster that is there: move it aside, or change it into the "
               "restored one writing only what differs",
       .target = &choices.existing,
       .choices = {"refuse", "move", "delta"}},
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
      {.long_name = "system-id",
       .value_name = "number",
       .help = "the cluster, where the repository holds several",
       .target = &choices.system},
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
  for (OptionSpec& option : place_options(*choices)) {
    options.push_back(std::move(option));
  }
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
