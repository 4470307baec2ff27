#include "protect/retention_points.h"

#include <algorithm>
#include <map>

#include "engine/snapshots/snapshot_labels.h"
#include "protect/recovery_points.h"

namespace salvor {
namespace {

struct Verdict {
  PointQuality backup = PointQuality::kUnknown;  // as the backup itself found it
  PointQuality quality = PointQuality::kUnknown;
  std::optional<WallTime> proven_at;
};

bool all_passed(const RunRecord& run) {
  return std::all_of(run.checks.begin(), run.checks.end(),
                     [](const CheckResult& check) { return check.passed; });
}

}  // namespace

std::vector<RetentionPoint> retention_points(std::span<const PlacedSnapshot> snapshots,
                                             std::span<const RunRecord> runs, WallTime now) {
  std::map<std::string_view, Verdict> verdicts;
  for (const RunRecord& run : runs) {
    if (run.kind == RunKind::kBackup && !run.snapshot.empty()) {
      Verdict& verdict = verdicts[run.snapshot];
      verdict.backup = run.outcome == RunOutcome::kSucceeded && all_passed(run)
                           ? PointQuality::kGood
                           : PointQuality::kBad;
      verdict.quality = verdict.backup;
    }
  }
  std::vector<ProofRun> proofs = proofs_among(runs);
  std::reverse(proofs.begin(), proofs.end());  // the newest has the last word
  for (const ProofRun& proof : proofs) {
    Verdict& verdict = verdicts[proof.snapshot];
    if (proof.passed) {
      verdict.quality = PointQuality::kGood;
      verdict.proven_at = proof.at;
    } else {
      // Nobody relies on it any more, and nobody throws it away for that.
      verdict.quality = std::min(verdict.backup, PointQuality::kUnknown);
    }
  }
  std::vector<RetentionPoint> points;
  points.reserve(snapshots.size());
  for (const PlacedSnapshot& placed : snapshots) {
    const auto found = verdicts.find(placed.original);
    const Verdict verdict = found == verdicts.end() ? Verdict{} : found->second;
    Snapshot labels;
    labels.tags = placed.tags;
    points.push_back({.snapshot = placed.snapshot,
                      .captured = placed.captured,
                      .quality = placed.damaged ? PointQuality::kBad : verdict.quality,
                      .proven_at = verdict.proven_at,
                      .tags = placed.tags,
                      .promise = kept_by_tag(labels, now) ? "its label is still kept" : ""});
  }
  return points;
}

}  // namespace salvor
