#include "cli/postgres/recovery_options.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "engine/snapshots/snapshot_filter.h"
#include "engine/snapshots/snapshot_labels.h"

namespace salvor::cli {
namespace {

uint64_t chosen_system(const std::vector<PhysicalBackup>& backups, const RecoveryChoices& choices,
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

// The newest physical backup with the label. Throws Error{kNotFound}.
SnapshotId labelled_backup(const Context& context, const Repository& repository,
                           const std::string& label) {
  std::optional<PhysicalBackup> newest;
  for (PhysicalBackup& backup :
       physical_backups(context, repository, 0, DamagedSnapshots::kLeftOut)) {
    if (has_label(backup.snapshot.snapshot, label) &&
        (!newest || newest->facts.stop_time < backup.facts.stop_time)) {
      newest = std::move(backup);
    }
  }
  if (!newest) {
    throw Error(ErrorCode::kNotFound,
                "there is no physical backup with the label " + printable(label),
                "`salvor snapshots --tag postgresql` lists them; logical backups are restored by "
                "`salvor postgres load`.");
  }
  return newest->snapshot.id;
}

}  // namespace

std::vector<OptionSpec> target_options(RecoveryChoices& choices) {
  return {
      {.long_name = "label",
       .value_name = "name",
       .help = "the newest backup with this label, as it was then: before a migration, say",
       .target = &choices.label},
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
      {.long_name = "system-id",
       .value_name = "number",
       .help = "the cluster, where the repository holds several",
       .target = &choices.system},
  };
}

RecoveryTarget recovery_target(const RecoveryChoices& choices) {
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
  if (given == 0 && !choices.label.empty()) {
    target.kind = TargetKind::kImmediate;  // not on through what the label was to guard against
    target.text = "immediate";
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

PlannedRecovery plan_recovery(const Context& context, const Repository& repository,
                              const RecoveryChoices& choices, const RecoveryTarget& target) {
  std::optional<SnapshotId> named;
  if (choices.snapshot && *choices.snapshot != "latest") {
    named = find_snapshot(context, repository, *choices.snapshot, {}).id;
  } else if (!choices.label.empty()) {
    named = labelled_backup(context, repository, choices.label);
  }
  std::vector<PhysicalBackup> backups =
      physical_backups(context, repository, 0, DamagedSnapshots::kLeftOut);
  const uint64_t system = chosen_system(backups, choices, named);
  std::erase_if(backups, [&](const PhysicalBackup& backup) {
    return backup.facts.system_identifier != system;
  });
  WalArchive archive = open_wal_archive(context, repository, system);
  RecoveryPlan plan = salvor::plan_recovery(backups, archive.survey(context),
                                            archive.segment_size(), target, named);
  return {std::move(archive), std::move(plan)};
}

std::string describe_plan(const RecoveryPlan& plan) {
  return fmt::format("backup {} of {}, WAL up to {} on timeline {}",
                     plan.backup.snapshot.id.short_hex(),
                     postgres::format_utc(plan.backup.facts.stop_time), plan.reach.end.text(),
                     plan.reach.timeline.value);
}

}  // namespace salvor::cli
