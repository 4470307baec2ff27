// To which times a source, and all sources together, can be recovered, and for which of them that
// has been proven (design, "Formulas"). Pure.
//
// A point is a snapshot with what its log reaches from there on: every instant from `captured` to
// `until` (for a store without a log the two are one). What the repository holds makes it a claim;
// a restore that was looked into proves it up to where that restore reached, and for as long as the
// policy says.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/store.h"
#include "model/run_record.h"

namespace salvor {

enum class ProofState : uint8_t {
  kNone,     // never restored: a claim
  kProven,   // restored, started, looked into, and not too long ago
  kExpired,  // that was too long ago: not known any more
  kRefuted,  // the last attempt failed
};
[[nodiscard]] std::string_view name_of(ProofState state);  // "unproven", "proven" ...

// A run that restored something and looked into it.
struct ProofRun {
  std::string run;  // id
  RunKind kind = RunKind::kVerify;
  std::string snapshot;
  WallTime at;  // when it ended
  bool passed = false;
  std::optional<WallTime> reached;
  double seconds = 0;  // from the decision to the service
  uint64_t bytes = 0;
  std::string scenario;
  std::string error;
};
// The proofs among the runs of a source, newest first: restores into a sandbox, drills, and real
// restores of all of it whose checks passed. Interrupted and incomplete ones prove nothing either
// way, nor do drills that failed for something else than the backup (run_facts.h).
[[nodiscard]] std::vector<ProofRun> proofs_among(std::span<const RunRecord> runs);

struct RecoveryPoint {
  RecoveryRange range;
  ProofState proof = ProofState::kNone;
  std::optional<ProofRun> last_proof;    // the newest attempt that passed, else the newest
  std::optional<WallTime> proven_until;  // the proof stands so long
  // The newest instant that a standing proof covers.
  std::optional<WallTime> proven_reach;
  size_t places = 1;  // repositories that hold the snapshot
};

// In the order of `ranges`.
[[nodiscard]] std::vector<RecoveryPoint> assess_points(std::span<const RecoveryRange> ranges,
                                                       std::span<const ProofRun> proofs,
                                                       std::chrono::seconds proof_stands,
                                                       WallTime now);

enum class Standard : uint8_t { kDurable, kProven };

// The newest instant to which a source can be recovered by that standard; damaged points do not
// count. Nothing: to none.
[[nodiscard]] std::optional<WallTime> newest_state(std::span<const RecoveryPoint> points,
                                                   Standard standard);
// The point that gives it.
[[nodiscard]] const RecoveryPoint* newest_point(std::span<const RecoveryPoint> points,
                                                Standard standard);

// A state of several sources together.
struct CommonPoint {
  WallTime time;                       // no source is older than this
  std::vector<WallTime> states;        // of each source
  std::vector<std::string> snapshots;  // to start each from
  std::chrono::nanoseconds skew{0};    // between the oldest and the newest of the states
};
using PointsOfSources = std::span<const std::vector<RecoveryPoint>>;

// The newest time that every source can be brought to, each to the state nearest to it that is not
// older: with a log exactly it, otherwise the next snapshot. So the data that is lost is what the
// worst source loses, and nothing is taken apart more than it must be. Nothing when a source has no
// point (or there is no source).
[[nodiscard]] std::optional<CommonPoint> newest_common(PointsOfSources sources, Standard standard);
// That and older ones, one for each snapshot of any source, newest first, at most `limit`.
[[nodiscard]] std::vector<CommonPoint> common_points(PointsOfSources sources, Standard standard,
                                                     size_t limit);

}  // namespace salvor
