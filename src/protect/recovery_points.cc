#include "protect/recovery_points.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "protect/run_facts.h"

namespace salvor {
namespace {

// The instants of one point by a standard: all from `first` to `last`.
struct Span {
  WallTime first;
  WallTime last;
  const RecoveryPoint* point;
};

std::vector<Span> spans_of(std::span<const RecoveryPoint> points, Standard standard) {
  std::vector<Span> spans;
  for (const RecoveryPoint& point : points) {
    if (point.range.damaged) {
      continue;
    }
    if (standard == Standard::kDurable) {
      spans.push_back({point.range.captured, point.range.until, &point});
    } else if (point.proven_reach) {
      spans.push_back({point.range.captured, *point.proven_reach, &point});
    }
  }
  return spans;
}

// The newest state that is not newer than `limit`.
std::optional<WallTime> newest_until(const std::vector<Span>& spans, WallTime limit) {
  std::optional<WallTime> newest;
  for (const Span& span : spans) {
    if (span.first <= limit) {
      const WallTime state = std::min(span.last, limit);
      newest = newest ? std::max(*newest, state) : state;
    }
  }
  return newest;
}

struct State {
  WallTime time;
  const RecoveryPoint* point;
};

// The oldest state that is not older than `limit`; of several points the newest: it has the least
// log to go through.
std::optional<State> oldest_from(const std::vector<Span>& spans, WallTime limit) {
  std::optional<State> best;
  for (const Span& span : spans) {
    if (span.last < limit) {
      continue;
    }
    const State state{std::max(span.first, limit), span.point};
    if (!best || state.time < best->time ||
        (state.time == best->time && state.point->range.captured > best->point->range.captured)) {
      best = state;
    }
  }
  return best;
}

std::optional<CommonPoint> common_until(const std::vector<std::vector<Span>>& sources,
                                        WallTime limit) {
  std::optional<WallTime> time;
  for (const auto& spans : sources) {
    const auto newest = newest_until(spans, limit);
    if (!newest) {
      return {};
    }
    time = time ? std::min(*time, *newest) : *newest;
  }
  if (!time) {
    return {};
  }
  CommonPoint common{.time = *time};
  WallTime last = *time;
  for (const auto& spans : sources) {
    const std::optional<State> state = oldest_from(spans, *time);
    common.states.push_back(state->time);
    common.snapshots.push_back(state->point->range.snapshot);
    last = std::max(last, state->time);
  }
  common.skew = last - *time;
  return common;
}

std::vector<std::vector<Span>> spans_of_all(PointsOfSources sources, Standard standard) {
  std::vector<std::vector<Span>> all;
  for (const auto& points : sources) {
    all.push_back(spans_of(points, standard));
  }
  return all;
}

// A restore into its place without checks copied something; nobody looked into it. A failed one
// says more about the place than about the backup.
bool looked_into(const RunRecord& run) {
  switch (run.kind) {
    case RunKind::kVerify:
    case RunKind::kDrill:
      return true;
    case RunKind::kRestore:
    case RunKind::kPlan:
      return !run.checks.empty() && run.outcome == RunOutcome::kSucceeded;
    default:
      return false;
  }
}

bool says_something(const RunRecord& run) {
  // A drill is incomplete when an objective was missed or nothing could be checked: neither says
  // that the backup is bad.
  const bool decided = run.outcome == RunOutcome::kSucceeded || run.outcome == RunOutcome::kFailed;
  return decided && !run.snapshot.empty() && looked_into(run) &&
         fact_of(run, kProofFact) != kProofNone && fact_of(run, kSelectionFact).empty();
}

}  // namespace

std::string_view name_of(ProofState state) {
  constexpr std::array<std::string_view, 4> kNames{"unproven", "proven", "expired", "refuted"};
  return kNames.at(static_cast<size_t>(state));
}

std::vector<ProofRun> proofs_among(std::span<const RunRecord> runs) {
  std::vector<ProofRun> proofs;
  for (const RunRecord& run : runs) {
    if (!says_something(run)) {
      continue;
    }
    const bool checks = std::all_of(run.checks.begin(), run.checks.end(),
                                    [](const CheckResult& check) { return check.passed; });
    std::string error = run.error;
    for (const CheckResult& check : run.checks) {
      if (error.empty() && !check.passed) {
        error = check.name + (check.value.empty() ? " failed" : ": " + check.value);
      }
    }
    proofs.push_back({.run = run.id,
                      .kind = run.kind,
                      .snapshot = run.snapshot,
                      .at = run.finished,
                      .passed = checks && run.outcome == RunOutcome::kSucceeded,
                      .reached = run.reached ? run.reached : run.captured,
                      .seconds = run.rto_seconds.value_or(
                          std::chrono::duration<double>(run.finished - run.started).count()),
                      .bytes = run.read_bytes,
                      .scenario = run.scenario,
                      .error = std::move(error)});
  }
  std::stable_sort(proofs.begin(), proofs.end(),
                   [](const ProofRun& left, const ProofRun& right) { return left.at > right.at; });
  return proofs;
}

std::vector<RecoveryPoint> assess_points(std::span<const RecoveryRange> ranges,
                                         std::span<const ProofRun> proofs,
                                         std::chrono::seconds proof_stands, WallTime now) {
  std::map<std::string_view, std::vector<const ProofRun*>> by_snapshot;  // newest first
  for (const ProofRun& proof : proofs) {
    by_snapshot[proof.snapshot].push_back(&proof);
  }
  std::vector<RecoveryPoint> points;
  points.reserve(ranges.size());
  for (const RecoveryRange& range : ranges) {
    RecoveryPoint& point = points.emplace_back();
    point.range = range;
    const auto found = by_snapshot.find(range.snapshot);
    if (found == by_snapshot.end()) {
      continue;
    }
    const ProofRun& newest = *found->second.front();
    point.last_proof = newest;
    if (!newest.passed) {
      point.proof = ProofState::kRefuted;
      continue;
    }
    point.proven_until = newest.at + proof_stands;
    if (*point.proven_until < now) {
      point.proof = ProofState::kExpired;
      continue;
    }
    point.proof = ProofState::kProven;
    for (const ProofRun* proof : found->second) {
      if (!proof->passed || proof->at + proof_stands < now) {
        break;  // what failed later than an older proof makes that one doubtful
      }
      const WallTime reach =
          std::clamp(proof->reached.value_or(range.captured), range.captured, range.until);
      point.proven_reach = point.proven_reach ? std::max(*point.proven_reach, reach) : reach;
    }
  }
  return points;
}

const RecoveryPoint* newest_point(std::span<const RecoveryPoint> points, Standard standard) {
  const std::vector<Span> spans = spans_of(points, standard);
  const auto newest =
      std::max_element(spans.begin(), spans.end(), [](const Span& left, const Span& right) {
        return std::pair(left.last, left.first) < std::pair(right.last, right.first);
      });
  return newest == spans.end() ? nullptr : newest->point;
}

std::optional<WallTime> newest_state(std::span<const RecoveryPoint> points, Standard standard) {
  return newest_until(spans_of(points, standard), WallTime::max());
}

std::optional<CommonPoint> newest_common(PointsOfSources sources, Standard standard) {
  return common_until(spans_of_all(sources, standard), WallTime::max());
}

std::vector<CommonPoint> common_points(PointsOfSources sources, Standard standard, size_t limit) {
  const std::vector<std::vector<Span>> all = spans_of_all(sources, standard);
  std::set<WallTime, std::greater<>> limits;
  limits.insert(WallTime::max());
  for (const auto& spans : all) {
    for (const Span& span : spans) {
      limits.insert(span.first);
    }
  }
  std::vector<CommonPoint> points;
  for (const WallTime until : limits) {
    if (points.size() > limit) {
      break;
    }
    std::optional<CommonPoint> common = common_until(all, until);
    if (!common || (!points.empty() && common->time >= points.back().time)) {
      continue;
    }
    // Two nights' backups mixed are no point of their own: a little older all is closer together.
    if (points.size() > 1 && common->skew < points.back().skew &&
        points.back().time - common->time < points.back().skew) {
      points.pop_back();
    }
    points.push_back(std::move(*common));
  }
  points.resize(std::min(points.size(), limit));
  return points;
}

}  // namespace salvor
