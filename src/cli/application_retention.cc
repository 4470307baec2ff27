// ApplicationJobs::retain: lets points go that the policy does not keep (T3).
#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application_jobs.h"
#include "cli/prune_options.h"
#include "cli/stores/postgres_points.h"
#include "engine/forget.h"
#include "engine/snapshot_labels.h"
#include "protect/point_retention.h"
#include "protect/recovery_points.h"

namespace salvor::cli {
namespace {

PointQuality quality_of(const RecoveryRange& range, const std::vector<RunRecord>& runs,
                        const std::vector<ProofRun>& proofs) {
  if (range.damaged) {
    return PointQuality::kBad;
  }
  for (const ProofRun& proof : proofs) {  // newest first
    if (proof.snapshot == range.snapshot) {
      return proof.passed ? PointQuality::kGood : PointQuality::kBad;
    }
  }
  for (const RunRecord& run : runs) {
    if (run.kind == RunKind::kBackup && run.snapshot == range.snapshot) {
      return run.outcome == RunOutcome::kSucceeded ? PointQuality::kGood : PointQuality::kBad;
    }
  }
  return PointQuality::kUnknown;
}

std::string promise_of(const RecoveryRange& range, WallTime now) {
  Snapshot snapshot;
  snapshot.tags = range.tags;
  return kept_by_tag(snapshot, now) ? "kept by its tag" : "";
}

// The log before the oldest backup that stays is needed by nobody.
size_t drop_log(const StoreSite& site, SourceRepository& at, const SourceSpec& source) {
  const PostgresPoints points = postgres_points(site, at.context(), at.repository(), source);
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

RunRecord ApplicationJobs::retain(const Context& context, const Job& job) {
  const SourceSpec& from = source(job.subject);
  RunRecord record = begin_record(site_, context, RunKind::kRetention, from);
  const PolicySpec* policy = find_named(application().policies, from.policy);
  if (policy == nullptr) {
    throw Error(ErrorCode::kUsage, from.name + " has no policy that says what to keep");
  }
  const WallTime now = context.clock.now();
  const std::vector<RunRecord> runs = catalog_.runs({.subject = from.name});
  const std::vector<ProofRun> proofs = proofs_among(runs);
  std::vector<RetentionPoint> points;
  for (const RecoveryRange& range : stores_.open(from.name)->ranges(context)) {
    RetentionPoint point{.snapshot = range.snapshot,
                         .captured = range.captured,
                         .quality = quality_of(range, runs, proofs),
                         .proven_at = {},
                         .tags = range.tags,
                         .promise = promise_of(range, now)};
    for (const ProofRun& proof : proofs) {
      if (proof.snapshot == range.snapshot && proof.passed) {
        point.proven_at = proof.at;
        break;
      }
    }
    points.push_back(std::move(point));
  }
  const TimeZone zone =
      TimeZone::named(!policy->time_zone.empty() ? policy->time_zone : application().time_zone);
  const PointRetentionPlan plan = plan_point_retention(points, policy->retention, zone, now);
  std::vector<SnapshotId> gone;
  for (const std::string& id : plan.removed()) {
    gone.push_back(SnapshotId::parse(id).value());
  }
  record.items = gone.size();
  record.facts.emplace_back("kept", std::to_string(plan.kept()));
  record.facts.emplace_back("removed", std::to_string(gone.size()));
  if (!gone.empty()) {
    SourceRepository at(site_, context, from,
                        {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored});
    run_under_lock(at.session(), at.opened(), [&] {
      static_cast<void>(remove_snapshots(at.context(), at.repository(), gone,
                                         [&] { at.opened().confirm_lock(at.context()); }));
      if (from.kind == "postgres") {
        record.facts.emplace_back("log removed", std::to_string(drop_log(site_, at, from)));
      }
      static_cast<void>(
          run_prune(at.session(), at.opened(), prune_options({}, at.session().global), false));
    });
  }
  record.outcome = RunOutcome::kSucceeded;
  record.finished = context.clock.now();
  return record;
}

}  // namespace salvor::cli
