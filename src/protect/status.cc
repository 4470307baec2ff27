#include "protect/status.h"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "model/duration_text.h"
#include "protect/run_facts.h"
#include "protect/time_text.h"

namespace salvor {
namespace {

using std::chrono::nanoseconds;

// A run may begin this much after it was due before it counts as late.
constexpr std::chrono::minutes kPatience{10};
// Clocks may differ by this much without anybody being told.
constexpr std::chrono::minutes kClocksApart{10};

void concern(StoreStatus& store, Assurance weight, std::string what, std::string next) {
  store.concerns.push_back({weight, std::move(what), std::move(next)});
}

bool good(const RunRecord& run) {
  return run.outcome == RunOutcome::kSucceeded;
}

const RunRecord* newest_run(const std::vector<RunRecord>& runs, RunKind kind, bool only_good) {
  const RunRecord* newest = nullptr;
  for (const RunRecord& run : runs) {
    if (run.kind == kind && (!only_good || good(run)) &&
        (newest == nullptr || run.started > newest->started)) {
      newest = &run;
    }
  }
  return newest;
}

void count_places(const std::vector<PlaceFacts>& places, StoreStatus& store) {
  for (RecoveryPoint& point : store.points) {
    point.places = static_cast<size_t>(
        std::count_if(places.begin(), places.end(), [&](const PlaceFacts& place) {
          return std::find(place.snapshots.begin(), place.snapshots.end(), point.range.snapshot) !=
                 place.snapshots.end();
        }));
  }
  const RecoveryPoint* newest = newest_point(store.points, Standard::kDurable);
  std::set<std::string_view> kinds;
  for (const PlaceFacts& place : places) {
    store.copies.complete &= place.reachable;
    store.copies.errors += place.errors;
    const bool holds =
        newest != nullptr && std::find(place.snapshots.begin(), place.snapshots.end(),
                                       newest->range.snapshot) != place.snapshots.end();
    if (!holds) {
      continue;
    }
    ++store.copies.copies;
    kinds.insert(place.kind);
    store.copies.offsite += place.offsite ? 1 : 0;
    if (place.immutable) {
      store.copies.immutable = store.copies.immutable.value_or(0) + (*place.immutable ? 1 : 0);
      if (place.immutable_seen_at) {
        store.copies.immutable_seen_at = std::min(
            store.copies.immutable_seen_at.value_or(WallTime::max()), *place.immutable_seen_at);
      }
    }
  }
  if (store.copies.copies > 0) {
    ++store.copies.copies;  // the original
    kinds.insert("local");
  }
  store.copies.kinds = kinds.size();
}

void take_proofs(const SourceFacts& facts, const std::vector<ProofRun>& proofs, WallTime now,
                 StoreStatus& store) {
  for (const ProofRun& proof : proofs) {
    if (proof.passed) {
      store.last_proof = proof;
      store.proof_stands_until = proof.at + store.promises.proof_stands;
      break;
    }
    if (!store.failed_proof) {
      store.failed_proof = proof;
    }
  }
  const RecoveryPoint* newest = newest_point(store.points, Standard::kDurable);
  const std::optional<RestoreRates> rates = measure_rates(facts.runs);
  if (rates && newest != nullptr) {
    store.forecast = forecast_recovery(*rates, newest->range.bytes,
                                       newest->range.until - newest->range.captured);
  }
  if (store.last_proof && store.last_proof->at + store.promises.proof_stands >= now) {
    store.recovery_seconds = store.last_proof->seconds;
    store.recovery_measured = true;
  } else if (store.forecast) {
    store.recovery_seconds = store.forecast->seconds;
  }
}

void judge_backups(const SourceFacts& facts, WallTime now, StoreStatus& store) {
  const RunRecord* last = newest_run(facts.runs, RunKind::kBackup, false);
  const RunRecord* last_good = newest_run(facts.runs, RunKind::kBackup, true);
  if (last != nullptr) {
    store.last_backup = *last;
  }
  if (last_good != nullptr && store.promises.backup_gap && last_good->captured) {
    store.worst_case = *store.promises.backup_gap + (last_good->finished - *last_good->captured);
  }
  if (last != nullptr && !good(*last) && last->outcome != RunOutcome::kMissed) {
    concern(store, Assurance::kProven,
            fmt::format("the last backup {} {}: {}",
                        last->outcome == RunOutcome::kIncomplete ? "was incomplete" : "failed",
                        ago_text(now - last->started),
                        last->error.empty() ? "see `salvor runs`" : last->error),
            last->hint.empty() ? "Look at `salvor runs`, then run `salvor run`." : last->hint);
  }
  if (store.promises.backup) {
    const WallTime due = store.promises.backup->previous(
        std::chrono::floor<std::chrono::seconds>(now - store.promises.jitter - kPatience));
    if (last_good != nullptr && last_good->finished < due && last_good->started < due &&
        (last == last_good)) {
      concern(store, Assurance::kProven,
              fmt::format("no backup since the one {} although one was due {}",
                          ago_text(now - last_good->started), ago_text(now - due)),
              "Look whether `salvor run` is called: `salvor schedule show`.");
    }
  }
}

// `worst` as a text that is not the limit's: "24 h and 2 s".
std::string more_than(std::chrono::nanoseconds worst, std::chrono::nanoseconds limit) {
  const std::string text = span_text(worst);
  return text != span_text(limit)
             ? text
             : text + " and " + duration_text(std::chrono::duration<double>(worst - limit).count());
}

void judge_exposure(StoreStatus& store) {
  const Promises& promises = store.promises;
  if (!store.newest) {
    if (store.unreachable.empty()) {
      concern(store, Assurance::kBreached,
              store.points.empty() ? "there is no backup" : "every backup there is is damaged",
              "Run `salvor run`.");
    }
    return;
  }
  if (promises.rpo && store.exposure > *promises.rpo) {
    concern(store, Assurance::kBreached,
            fmt::format("what was written in the last {} would be lost, the objective is {}",
                        span_text(*store.exposure), span_text(*promises.rpo)),
            store.open_ended ? "Look at what follows the log: `salvor doctor`."
                             : "Run `salvor run`; if that is not due more often, change the "
                               "schedule.");
  } else if (promises.rpo && !store.open_ended && store.worst_case > *promises.rpo) {
    concern(store, Assurance::kProven,
            fmt::format("the schedule allows {} to be lost at worst, the objective is {}",
                        more_than(*store.worst_case, *promises.rpo), span_text(*promises.rpo)),
            "Back up more often, or follow the store's log.");
  }
  for (const RecoveryPoint& point : store.points) {
    if (!point.range.gap.empty()) {
      concern(store, Assurance::kProven,
              fmt::format("the log of {} has a gap: {}", point.range.snapshot.substr(0, 8),
                          point.range.gap),
              "Times after it are reached from a newer backup only; make one if there is none.");
      break;
    }
  }
}

void judge_proof(WallTime now, StoreStatus& store) {
  const RecoveryPoint* newest = newest_point(store.points, Standard::kDurable);
  if (store.failed_proof) {
    concern(store, Assurance::kBreached,
            fmt::format("the last attempt to prove a restore failed {}: {}",
                        ago_text(now - store.failed_proof->at), store.failed_proof->error),
            "Look at `salvor runs`; make a new backup and prove that.");
  } else if (newest != nullptr && newest->proof == ProofState::kRefuted) {
    // A random older point that was proven since does not make this one good.
    concern(store, Assurance::kBreached,
            fmt::format("the last attempt to restore its newest point failed {}: {}",
                        ago_text(now - newest->last_proof->at), newest->last_proof->error),
            "Look at `salvor runs`; make a new backup and prove that.");
  } else if (!store.last_proof) {
    concern(store, Assurance::kUnproven, "no restore of it was ever looked into",
            "Run `salvor drill run`.");
  } else if (*store.proof_stands_until < now) {
    concern(
        store, Assurance::kUnknown,
        fmt::format("it was last proven {}, and proofs stand for {}",
                    ago_text(now - store.last_proof->at), span_text(store.promises.proof_stands)),
        "Run `salvor drill run`.");
  } else if (!store.proven) {
    concern(store, Assurance::kUnknown,
            fmt::format("what was proven {} is not there any more",
                        ago_text(now - store.last_proof->at)),
            "Run `salvor drill run`.");
  }
  const Promises& promises = store.promises;
  if (promises.rto && store.recovery_measured &&
      *store.recovery_seconds > static_cast<double>(promises.rto->count())) {
    concern(store, Assurance::kBreached,
            fmt::format("the last recovery took {}, the objective is {}",
                        duration_text(*store.recovery_seconds), span_text(*promises.rto)),
            "Look which step took the time: `salvor runs`.");
  } else if (promises.rto && store.forecast &&
             store.forecast->seconds > static_cast<double>(promises.rto->count())) {
    concern(store, Assurance::kUnproven,
            fmt::format("a recovery would take {} by the rates measured, the objective is {}",
                        duration_text(store.forecast->seconds), span_text(*promises.rto)),
            "Run `salvor drill run` to measure it.");
  }
}

void judge_copies(const SourceFacts& facts, WallTime now, StoreStatus& store) {
  for (const PlaceFacts& place : facts.places) {
    if (!place.reachable && &place != facts.places.data()) {
      concern(store, Assurance::kProven,
              fmt::format("the copy in {} cannot be looked at{}", place.repository,
                          place.seen_at == WallTime{}
                              ? ""
                              : "; what is said of it is from " + ago_text(now - place.seen_at)),
              "Run `salvor doctor`.");
    }
    if (place.errors > 0) {
      concern(store, Assurance::kUnknown,
              fmt::format("a check of {} found errors", place.repository),
              "Run `salvor check --read-data` there; it names what is hit and what to do. They "
              "count until `salvor run` has read the same again and found none.");
    }
  }
}

// What is dated ahead of this clock looks new, and its proof valid, for too long.
void judge_clock(WallTime now, StoreStatus& store) {
  constexpr const char* kNext =
      "One of two clocks is wrong: set it right. Until then nobody can tell how old that is.";
  if (store.newest && *store.newest > now + kClocksApart) {
    concern(store, Assurance::kUnknown,
            fmt::format("its newest point is dated {} ahead of this machine's clock",
                        span_text(*store.newest - now)),
            kNext);
  }
  if (store.last_proof && store.last_proof->at > now + kClocksApart) {
    concern(store, Assurance::kUnknown,
            fmt::format("its last proof is dated {} ahead of this machine's clock",
                        span_text(store.last_proof->at - now)),
            kNext);
  }
}

// A backup that found its own snapshot bad (V1) leaves one that nobody relies on, until a restore
// of it was found right. `proofs`: newest first.
std::vector<RecoveryRange> judge_ranges(const SourceFacts& facts,
                                        const std::vector<ProofRun>& proofs) {
  std::set<std::string_view> bad;
  for (const RunRecord& run : facts.runs) {
    if (run.kind == RunKind::kBackup && run.outcome == RunOutcome::kFailed) {
      bad.insert(run.snapshot);
    }
  }
  std::vector<RecoveryRange> ranges = facts.ranges;
  for (RecoveryRange& range : ranges) {
    const auto proof = std::ranges::find(proofs, range.snapshot, &ProofRun::snapshot);
    const bool proven = proof != proofs.end() && proof->passed;
    range.damaged |= bad.contains(range.snapshot) && !proven;
  }
  return ranges;
}

StoreStatus assess_store(const Application& application, const SourceSpec& source,
                         const SourceFacts* facts, WallTime now) {
  StoreStatus store{.source = source.name, .kind = source.kind, .repository = source.repository};
  store.promises = promises_of(application, source, now);
  if (facts == nullptr) {
    concern(store, Assurance::kUnknown, "nothing is known of it", "Run `salvor doctor`.");
    return store;
  }
  store.seen_at = facts->seen_at;
  store.unreachable = facts->unreachable;
  const std::vector<ProofRun> proofs = proofs_among(facts->runs);
  store.points =
      assess_points(judge_ranges(*facts, proofs), proofs, store.promises.proof_stands, now);
  count_places(facts->places, store);
  store.newest = newest_state(store.points, Standard::kDurable);
  store.proven = newest_state(store.points, Standard::kProven);
  if (const RecoveryPoint* point = newest_point(store.points, Standard::kDurable)) {
    store.open_ended = point->range.open_ended;
  }
  // A clock that is ahead elsewhere must not make it negative.
  const auto since = [&](WallTime time) {
    return std::max(nanoseconds(now - time), nanoseconds(0));
  };
  if (store.newest) {
    store.exposure = since(*store.newest);
  }
  if (store.proven) {
    store.verified_exposure = since(*store.proven);
  }
  if (!store.unreachable.empty()) {
    concern(store, Assurance::kUnknown, "its repository cannot be reached: " + store.unreachable,
            facts->hint.empty() ? "Run `salvor doctor`." : facts->hint);
  }
  take_proofs(*facts, proofs, now, store);
  judge_backups(*facts, now, store);
  judge_exposure(store);
  judge_proof(now, store);
  judge_copies(*facts, now, store);
  judge_clock(now, store);
  std::stable_sort(
      store.concerns.begin(), store.concerns.end(),
      [](const Concern& left, const Concern& right) { return left.weight > right.weight; });
  store.state = store.concerns.empty() ? Assurance::kProven : store.concerns.front().weight;
  if (!store.unreachable.empty()) {
    // Whatever else was so when it was last seen: now it is not known.
    store.state = Assurance::kUnknown;
  }
  return store;
}

// Whether a drill proved every source. One that only missed an objective did.
bool proves_whole(const RunRecord& drill, const StatusReport& report) {
  const std::vector<std::string_view> restored = facts_of(drill, kSourceFact);
  return drill.kind == RunKind::kDrill &&
         (good(drill) || fact_of(drill, kProofFact) == kProofPassed) &&
         std::all_of(report.stores.begin(), report.stores.end(), [&](const StoreStatus& store) {
           return std::find(restored.begin(), restored.end(), store.source) != restored.end();
         });
}

// Whether one drill proved all sources together, and how long that took.
void take_whole_proof(const std::vector<RunRecord>& drills, StatusReport& report) {
  const RunRecord* last = nullptr;
  for (const RunRecord& run : drills) {
    if (proves_whole(run, report) && (last == nullptr || run.finished > last->finished)) {
      last = &run;
    }
  }
  double slowest = 0;
  bool measured = true;
  bool known = !report.stores.empty();
  std::optional<WallTime> oldest;
  for (const StoreStatus& store : report.stores) {
    if (store.last_proof) {
      oldest = oldest ? std::min(*oldest, store.last_proof->at) : store.last_proof->at;
    }
    known &= store.last_proof.has_value();
    measured &= store.recovery_measured;
    slowest = std::max(slowest, store.recovery_seconds.value_or(0));
  }
  if (!known) {
    return;
  }
  report.proven_at = oldest;
  report.recovery_seconds = slowest;
  report.recovery_measured = measured;
  if (last != nullptr && last->rto_seconds && last->finished >= *oldest) {
    report.recovery_seconds = last->rto_seconds;
    report.proven_at = last->finished;
    report.recovery_measured = true;
  }
}

void judge_whole(WallTime now, StatusReport& report) {
  for (const StoreStatus& store : report.stores) {
    report.state = std::max(report.state, store.state);
  }
  const Promises& promises = report.promises;
  if (report.common && promises.rpo && now - report.common->time > *promises.rpo) {
    report.concerns.push_back(
        {Assurance::kBreached,
         fmt::format("together the sources can only be brought back to {} ago, the objective is {}",
                     span_text(now - report.common->time), span_text(*promises.rpo)),
         "Back up the source that is furthest behind."});
  }
  if (promises.rto && report.recovery_seconds && report.recovery_measured &&
      *report.recovery_seconds > static_cast<double>(promises.rto->count())) {
    report.concerns.push_back(
        {Assurance::kBreached,
         fmt::format("the last recovery took {}, the objective is {}",
                     duration_text(*report.recovery_seconds), span_text(*promises.rto)),
         "Look which step took the time: `salvor runs`."});
  }
  const bool unreachable = std::any_of(report.stores.begin(), report.stores.end(),
                                       [](const StoreStatus& s) { return !s.unreachable.empty(); });
  for (const Concern& found : report.concerns) {
    if (!unreachable) {
      report.state = std::max(report.state, found.weight);
    }
  }
}

}  // namespace

std::string_view name_of(Assurance assurance) {
  constexpr std::array<std::string_view, 4> kNames{"proven", "unproven", "unknown", "breached"};
  return kNames.at(static_cast<size_t>(assurance));
}

bool CopyCount::rule_met() const {
  return complete && copies >= 3 && kinds >= 2 && offsite >= 1 && immutable.value_or(0) >= 1 &&
         errors == 0;
}

StatusReport assess_status(const Application& application,
                           const std::map<std::string, SourceFacts>& facts,
                           const std::vector<RunRecord>& drills, WallTime now) {
  StatusReport report{
      .application = application.name,
      .environment = application.environment,
      .at = now,
      .state = application.sources.empty() ? Assurance::kUnknown : Assurance::kProven};
  report.promises = promises_of(application, now);
  std::vector<std::vector<RecoveryPoint>> points;
  for (const SourceSpec& source : application.sources) {
    const auto found = facts.find(source.name);
    StoreStatus store =
        assess_store(application, source, found == facts.end() ? nullptr : &found->second, now);
    points.push_back(store.points);
    const std::optional<Due>& due = store.promises.next_proof;
    if (due && (!report.next_proof || due->at < report.next_proof->at)) {
      report.next_proof = due;
    }
    report.stores.push_back(std::move(store));
  }
  report.common = newest_common(points, Standard::kDurable);
  report.proven_common = newest_common(points, Standard::kProven);
  take_whole_proof(drills, report);
  judge_whole(now, report);
  return report;
}

}  // namespace salvor
