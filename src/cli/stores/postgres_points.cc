#include "cli/stores/postgres_points.h"

#include <algorithm>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/format.h"
#include "engine/snapshots/snapshot_labels.h"

namespace salvor::cli {
namespace {

bool has_tag(const PhysicalBackup& backup, const std::string& tag) {
  const std::vector<std::string>& tags = backup.snapshot.snapshot.tags;
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

bool has_any_source(const PhysicalBackup& backup) {
  const std::vector<std::string>& tags = backup.snapshot.snapshot.tags;
  return std::any_of(tags.begin(), tags.end(),
                     [](const std::string& tag) { return tag.starts_with(kSourceTag); });
}

// The source's cluster; nothing without backups.
std::optional<uint64_t> cluster_of(const std::vector<PhysicalBackup>& backups,
                                   const std::string& tag) {
  std::optional<uint64_t> newest;
  std::set<uint64_t> untagged;
  for (const PhysicalBackup& backup : backups) {  // oldest first
    if (has_tag(backup, tag)) {
      newest = backup.facts.system_identifier;
    } else if (!has_any_source(backup)) {
      untagged.insert(backup.facts.system_identifier);
    }
  }
  return newest || untagged.size() != 1 ? newest : *untagged.begin();
}

std::optional<SnapshotId> named_backup(const PostgresPoints& points, const Moment& moment,
                                       const std::string& base, const std::string& source) {
  const bool by_label = base.empty() && moment.kind == Moment::kLabel;
  if (base.empty() && moment.kind != Moment::kSnapshot && !by_label) {
    return std::nullopt;
  }
  std::vector<StoredSnapshot> snapshots;
  for (const PhysicalBackup& backup : points.backups) {
    snapshots.push_back(backup.snapshot);
  }
  const auto captured = [&points](const StoredSnapshot& stored) {
    for (const PhysicalBackup& backup : points.backups) {
      if (backup.snapshot.id == stored.id) {
        return backup.facts.stop_time;
      }
    }
    return stored.snapshot.time.wall();
  };
  Moment named = moment;
  if (!base.empty()) {
    named = {.kind = Moment::kSnapshot, .time = {}, .text = base};
  }
  return choose_snapshot(snapshots, named, "", captured, source).id;
}

RecoveryTarget position_target(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  RecoveryTarget target;
  target.text = text.substr(colon + 1);
  if (kind == "lsn") {
    const auto lsn = postgres::Lsn::parse(target.text);
    if (!lsn) {
      throw Error(ErrorCode::kUsage, "\"" + printable(target.text) + "\" is not a log position",
                  "Write it as PostgreSQL does: lsn:16/B374D848.");
    }
    target.kind = TargetKind::kLsn;
    target.lsn = *lsn;
  } else if (kind == "xid") {
    if (target.text.find_first_not_of("0123456789") != std::string::npos) {
      throw Error(ErrorCode::kUsage, "xid: takes a transaction's number");
    }
    target.kind = TargetKind::kTransaction;
  } else {
    target.kind = TargetKind::kName;
  }
  return target;
}

BackupReach reach_on_newest(const PostgresPoints& points, const PhysicalBackup& backup) {
  return reach_of(backup, points.timelines, newest_timeline(backup, points.timelines),
                  points.archive->segment_size());
}

}  // namespace

PostgresPoints postgres_points(const StoreSite& site, const Context& context,
                               const Repository& repository, const SourceSpec& source,
                               DamagedSnapshots damaged) {
  PostgresPoints points;
  std::vector<PhysicalBackup> backups = physical_backups(context, repository, 0, damaged);
  const std::string tag = source_tag(site.application, source);
  const std::optional<uint64_t> cluster = cluster_of(backups, tag);
  if (!cluster) {
    return points;
  }
  for (PhysicalBackup& backup : backups) {
    if (backup.facts.system_identifier == *cluster) {
      points.backups.push_back(std::move(backup));
    }
  }
  points.archive.emplace(open_wal_archive(context, repository, *cluster));
  points.timelines = points.archive->survey(context);
  return points;
}

std::vector<RecoveryRange> ranges_of(const Context& context, const PostgresPoints& points) {
  std::vector<RecoveryRange> ranges;
  // Backups that reach the same end share what is read there.
  using End = std::pair<postgres::Timeline, postgres::Lsn>;
  std::optional<std::pair<End, WalMoment>> last;
  for (auto backup = points.backups.rbegin(); backup != points.backups.rend(); ++backup) {
    const BackupReach reach = reach_on_newest(points, *backup);
    RecoveryRange range;
    range.snapshot = backup->snapshot.id.hex();
    range.captured = backup->facts.stop_time;
    range.until = range.captured;
    if (!reach.missing.empty()) {
      range.gap = "WAL segment " + reach.missing.front() + " is missing";
    }
    try {
      const End end(reach.timeline, reach.tail_end.value_or(reach.end));
      if (!last || last->first != end) {
        last = {end, end_of_wal(context, *points.archive, points.timelines, reach)};
      }
      range.until = std::max(range.until, last->second.until);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      range.gap = error.message();
    }
    for (const WalTimeline& timeline : points.timelines) {
      range.open_ended = range.open_ended || (range.gap.empty() && timeline.tail &&
                                              timeline.timeline == reach.timeline);
    }
    const Snapshot& snapshot = backup->snapshot.snapshot;
    range.durable = snapshot.summary ? snapshot.summary->backup_end.wall() : range.captured;
    range.bytes = snapshot.summary ? snapshot.summary->total_bytes_processed : 0;
    range.label = label_of(snapshot);
    range.tags = snapshot.tags;
    range.damaged = backup->facts.damaged;
    ranges.push_back(std::move(range));
  }
  return ranges;
}

namespace {

// Throws Error that says what can be reached when the moment cannot.
ChosenRecovery choose_among(const Context& context, const PostgresPoints& points,
                            const Moment& moment, const std::string& base,
                            const std::string& source) {
  if (!points.archive) {
    throw Error(ErrorCode::kNotFound, "there is no backup of " + source + " in the repository",
                "`salvor backup " + source + "` makes one.");
  }
  const auto named = named_backup(points, moment, base, source);
  RecoveryTarget target;
  switch (moment.kind) {
    case Moment::kLatest:
      break;
    case Moment::kAt:
      target.kind = TargetKind::kTime;
      target.time = moment.time;
      break;
    case Moment::kSnapshot:
    case Moment::kLabel:
      target.kind = TargetKind::kImmediate;
      target.text = "immediate";
      break;
    case Moment::kPosition:
      target = position_target(moment.text);
      break;
  }
  const auto plan = [&] {
    return plan_recovery(points.backups, points.timelines, points.archive->segment_size(), target,
                         named);
  };
  ChosenRecovery chosen{.target = target, .plan = plan(), .reached = {}};
  const WallTime stop = chosen.plan.backup.facts.stop_time;
  if (target.kind == TargetKind::kImmediate) {
    chosen.reached = stop;
    return chosen;
  }
  const WalMoment end =
      end_of_wal(context, *points.archive, points.timelines, chosen.plan.reach,
                 target.kind == TargetKind::kTime ? std::optional(target.time) : std::nullopt);
  chosen.reached = end.until;
  if (target.kind == TargetKind::kTime) {
    if (target.time > end.until) {
      throw Error(ErrorCode::kFailed,
                  moment.display() + " cannot be reached: the log ends at " +
                      postgres::format_utc(end.until),
                  chosen.plan.reach.missing.empty()
                      ? "What was committed until then can be had: ask for \"latest\". Where the "
                        "server still runs, wait until its log has arrived."
                      : "WAL segment " + chosen.plan.reach.missing.front() + " is missing.");
    }
    chosen.reached = target.time;
    chosen.target = time_target(target.time, end, chosen.plan);
  }
  return chosen;
}

}  // namespace

RecoveryOfSource choose_recovery(const StoreSite& site, const Context& context,
                                 const Repository& repository, const SourceSpec& source,
                                 const RestoreOrder& order) {
  constexpr std::chrono::seconds kOnItsWay{15};
  constexpr std::chrono::milliseconds kLook{500};
  for (bool told = false;; told = true) {
    PostgresPoints points = postgres_points(site, context, repository, source);
    try {
      ChosenRecovery chosen = choose_among(context, points, order.moment, order.base, source.name);
      return {std::move(points), std::move(chosen)};
    } catch (const Error&) {
      const auto age = context.clock.now() - order.moment.time;
      const bool may_come = points.archive && order.moment.kind == Moment::kAt &&
                            source.settings.text("wal", "stream") == "stream" &&
                            age >= age.zero() && age < kOnItsWay;
      if (!may_come) {
        throw;
      }
    }
    if (!told) {
      site.session.terminal.message(printable(source.name) +
                                    ": waiting until the log of that moment is stored");
    }
    context.check_stopped();
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace salvor::cli
