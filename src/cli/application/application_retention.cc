// ApplicationJobs::retain: lets points go that the policy does not keep (T3).
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/format.h"
#include "catalog/run_log.h"
#include "cli/application/application_jobs.h"
#include "cli/repository/prune_options.h"
#include "cli/stores/postgres_points.h"
#include "engine/snapshots/forget.h"
#include "plan/old_copies.h"
#include "protect/retention_points.h"
#include "protect/survey.h"

namespace salvor::cli {
namespace {

// What is in the place of a copy: snapshots of the source, known by its tag or by what they are
// copies of.
std::vector<PlacedSnapshot> copies_in(const std::vector<StoredSnapshot>& there,
                                      const std::vector<RecoveryRange>& ranges,
                                      const std::string& tag) {
  std::map<std::string, const RecoveryRange*> own;
  for (const RecoveryRange& range : ranges) {
    own[range.snapshot] = &range;
  }
  std::vector<PlacedSnapshot> placed;
  for (const StoredSnapshot& stored : there) {
    const Snapshot& snapshot = stored.snapshot;
    const std::string original = snapshot.original ? snapshot.original->hex() : stored.id.hex();
    const auto found = own.find(original);
    const bool tagged =
        std::find(snapshot.tags.begin(), snapshot.tags.end(), tag) != snapshot.tags.end();
    if (found != own.end() || tagged) {
      placed.push_back(
          {.snapshot = stored.id.hex(),
           .original = original,
           .captured = found != own.end() ? found->second->captured : snapshot.time.wall(),
           .tags = snapshot.tags,
           .damaged = found != own.end() && found->second->damaged});
    }
  }
  return placed;
}

std::vector<PlacedSnapshot> placed_as(const std::vector<RecoveryRange>& ranges) {
  std::vector<PlacedSnapshot> placed;
  for (const RecoveryRange& range : ranges) {
    placed.push_back({.snapshot = range.snapshot,
                      .original = range.snapshot,
                      .captured = range.captured,
                      .tags = range.tags,
                      .damaged = range.damaged});
  }
  return placed;
}

// The log before the oldest backup that stays in that place is needed by nobody there, and no copy
// brings it back (copy_wal).
size_t drop_log(const StoreSite& site, SourceRepository& at, const SourceSpec& source) {
  const PostgresPoints points =
      postgres_points(site, at.context(), at.repository(), source, DamagedSnapshots::kRefused);
  if (!points.archive || points.backups.empty()) {
    return 0;
  }
  postgres::Lsn oldest = points.backups.front().facts.start;
  for (const PhysicalBackup& backup : points.backups) {
    oldest = std::min(oldest, backup.facts.start);
  }
  return points.archive->remove_before(
      at.context(), postgres::segment_of(oldest, points.archive->segment_size()), false);
}

}  // namespace

std::vector<RetentionOfPlace> ApplicationJobs::plan_retention(const Context& context,
                                                              const std::string& name) {
  const SourceSpec& from = source_of(application(), name);
  const PolicySpec* policy = find_named(application().policies, from.policy);
  if (policy == nullptr) {
    throw Error(ErrorCode::kUsage, from.name + " has no policy that says what to keep");
  }
  const WallTime now = context.clock.now();
  const TimeZone zone =
      TimeZone::named(!policy->time_zone.empty() ? policy->time_zone : application().time_zone);
  {
    // What other machines found out about the points counts as much as what this one did.
    SourceRepository at(site(), context, from, {.lock = LockMode::kNone});
    static_cast<void>(sync_catalog(at.context(), at.repository(), from.repository, catalog()));
  }
  const std::vector<RecoveryRange> ranges = stores().open(from.name)->ranges(context);
  const std::vector<RunRecord> runs = runs_of(from);
  std::vector<RetentionOfPlace> places;
  const auto add = [&](const std::string& repository, const RetentionRule& rule,
                       const std::vector<PlacedSnapshot>& placed) {
    const std::vector<RetentionPoint> points = retention_points(placed, runs, now);
    places.push_back({repository, rule, plan_point_retention(points, rule, zone, now)});
  };
  add(from.repository, policy->retention, placed_as(ranges));
  for (const CopySpec& copy : from.copies) {
    SourceSpec there = from;
    there.repository = copy.to;
    SourceRepository at(site(), context, there, {.lock = LockMode::kNone});
    add(copy.to, copy.retention.value_or(policy->retention),
        copies_in(at.repository().load_snapshots(at.context()), ranges,
                  source_tag(application(), from)));
  }
  return places;
}

std::vector<RunRecord> ApplicationJobs::runs_of(const SourceSpec& from) {
  std::vector<RunRecord> runs = catalog().runs({.subject = from.name});
  std::erase_if(runs, [&](const RunRecord& run) { return !belongs_to(run, application()); });
  return runs;
}

std::set<std::string> ApplicationJobs::worth_copying(const Context& context, const SourceSpec& from,
                                                     const std::string& repository) {
  const std::vector<RecoveryRange> ranges = stores().open(from.name)->ranges(context);
  std::set<std::string> wanted;
  for (const RecoveryRange& range : ranges) {
    wanted.insert(range.snapshot);
  }
  const PolicySpec* policy = find_named(application().policies, from.policy);
  for (const CopySpec& copy : from.copies) {
    if (copy.to != repository || !copy.retention || policy == nullptr) {
      continue;
    }
    // What the copy's own retention would remove at once would be copied again every time.
    const WallTime now = context.clock.now();
    const TimeZone zone =
        TimeZone::named(!policy->time_zone.empty() ? policy->time_zone : application().time_zone);
    const std::vector<RetentionPoint> points =
        retention_points(placed_as(ranges), runs_of(from), now);
    for (const std::string& id :
         plan_point_retention(points, *copy.retention, zone, now).removed()) {
      wanted.erase(id);
    }
  }
  return wanted;
}

void ApplicationJobs::apply_retention(const Context& context, const std::string& name,
                                      const RetentionOfPlace& place, RunRecord& record) {
  SourceSpec there = source_of(application(), name);
  const bool own = place.repository == there.repository;
  there.repository = place.repository;
  std::vector<SnapshotId> gone;
  for (const std::string& id : place.plan.removed()) {
    gone.push_back(SnapshotId::parse(id).value());
  }
  record.items += gone.size();
  const std::string where = own ? "" : " in " + place.repository;
  record.facts.emplace_back("kept" + where, std::to_string(place.plan.kept()));
  record.facts.emplace_back("removed" + where, std::to_string(gone.size()));
  if (gone.empty()) {
    return;
  }
  SourceRepository at(site(), context, there,
                      {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored});
  audit().begin(at.context(), at.repository(),
                {.action = "retention",
                 .phase = {},
                 .outcome = {},
                 .subject = name,
                 .text = fmt::format("{} of {} points of {}{} will be removed", gone.size(),
                                     gone.size() + place.plan.kept(), name, where),
                 .run = record.id,
                 .details = {}});
  run_under_lock(at.session(), at.opened(), [&] {
    const ForgetResult result = remove_snapshots(at.context(), at.repository(), gone,
                                                 [&] { at.opened().confirm_lock(at.context()); });
    if (result.not_removed > 0) {
      throw Error(ErrorCode::kIncomplete,
                  fmt::format("{} snapshots could not be removed", result.not_removed));
    }
    if (there.kind == "postgres") {
      record.facts.emplace_back("log removed" + where, std::to_string(drop_log(site(), at, there)));
    }
    static_cast<void>(
        run_prune(at.session(), at.opened(), prune_options({}, at.session().global), false));
  });
}

RunRecord ApplicationJobs::retain(const Context& context, const Job& job) {
  RunRecord record =
      begin_record(site(), context, RunKind::kRetention, source_of(application(), job.subject));
  for (const RetentionOfPlace& place : plan_retention(context, job.subject)) {
    apply_retention(context, job.subject, place, record);
  }
  tidy(context, source_of(application(), job.subject).repository, record);
  record.outcome = RunOutcome::kSucceeded;
  record.finished = context.clock.now();
  return record;
}

// Nothing depends on it: what goes wrong is a warning.
void ApplicationJobs::tidy(const Context& context, const std::string& repository,
                           RunRecord& record) {
  try {
    SourceSpec whole;
    whole.name = repository;
    whole.repository = repository;
    SourceRepository at(site(), context, whole, {.lock = LockMode::kNone});
    static_cast<void>(bundle_records(at.context(), at.repository(), catalog()));
    const std::set<std::string> recorded = recorded_plan_runs();
    const plan::RemovedCopies removed =
        plan::remove_old_copies(at.context(), at.repository(),
                                [&](const std::string& run) { return recorded.contains(run); });
    if (removed.runs > 0) {
      record.facts.emplace_back("removed copies of plans' journals", std::to_string(removed.runs));
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    context.events.on(Warning{"old records of runs are not put together: " + error.message(),
                              "Nothing is lost; the next run tries again."});
  }
}

// Runs of plans of whose end a repository has the record.
std::set<std::string> ApplicationJobs::recorded_plan_runs() {
  const auto run_of = [](const RunRecord& record) {
    const auto fact = std::ranges::find(record.facts, "run", &TextMap::value_type::first);
    return fact == record.facts.end() ? std::string() : fact->second;
  };
  std::set<std::string> runs;
  for (const RunRecord& record : catalog().runs(
           {.kind = RunKind::kPlan, .to = session_.context.clock.now() - plan::kCopyKept})) {
    runs.insert(run_of(record));
  }
  for (const RepositorySpec& repository : application().repositories) {
    for (const RunRecord& record : catalog().unsent(repository.name)) {
      runs.erase(run_of(record));
    }
  }
  return runs;
}

}  // namespace salvor::cli
