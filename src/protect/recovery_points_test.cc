#include "protect/recovery_points.h"

#include <set>

#include <gtest/gtest.h>

#include "protect/run_facts.h"
#include "support/properties.h"

namespace salvor {
namespace {

using std::chrono::seconds;

WallTime at(int64_t t) {
  return WallTime(seconds(1'000'000 + t));
}

RecoveryRange range(const std::string& name, int64_t captured, int64_t until = -1) {
  return {.snapshot = name,
          .captured = at(captured),
          .until = at(until < 0 ? captured : until),
          .durable = at(captured)};
}

RunRecord proof(const std::string& snapshot, int64_t finished, bool passed = true,
                std::optional<int64_t> reached = {}) {
  RunRecord run;
  run.kind = RunKind::kVerify;
  run.outcome = passed ? RunOutcome::kSucceeded : RunOutcome::kFailed;
  run.snapshot = snapshot;
  run.started = at(finished - 60);
  run.finished = at(finished);
  if (reached) {
    run.reached = at(*reached);
  }
  return run;
}

std::vector<RecoveryPoint> points(const std::vector<RecoveryRange>& ranges,
                                  const std::vector<RunRecord>& runs = {}, int64_t now = 1000,
                                  int64_t stands = 500) {
  return assess_points(ranges, proofs_among(runs), seconds(stands), at(now));
}

TEST(RecoveryPoints, AProofStandsOnlySoLong) {
  const std::vector<RecoveryRange> ranges{range("b", 300), range("a", 100)};
  const std::vector<RunRecord> runs{proof("a", 600)};
  EXPECT_EQ(points(ranges, runs, 1100)[1].proof, ProofState::kProven);
  EXPECT_EQ(points(ranges, runs, 1101)[1].proof, ProofState::kExpired);
  EXPECT_EQ(points(ranges, runs)[0].proof, ProofState::kNone);
  EXPECT_EQ(newest_state(points(ranges, runs), Standard::kProven), at(100));
  EXPECT_EQ(newest_state(points(ranges, runs), Standard::kDurable), at(300));
  EXPECT_FALSE(newest_state(points(ranges, runs, 1101), Standard::kProven))
      << "evidence that is too old is not green";
}

TEST(RecoveryPoints, AProofReachesAsFarAsItsRestoreDid) {
  const std::vector<RecoveryRange> ranges{range("a", 100, 900)};
  EXPECT_EQ(newest_state(points(ranges, {proof("a", 600, true, 550)}), Standard::kProven), at(550));
  // Two proofs: the farther one.
  EXPECT_EQ(newest_state(points(ranges, {proof("a", 600, true, 550), proof("a", 700, true, 200)}),
                         Standard::kProven),
            at(550));
  // What the log has no more cannot be reached any more.
  EXPECT_EQ(
      newest_state(points({range("a", 100, 400)}, {proof("a", 600, true, 550)}), Standard::kProven),
      at(400));
}

TEST(RecoveryPoints, AFailureAfterASuccessRefutes) {
  const std::vector<RecoveryRange> ranges{range("a", 100)};
  EXPECT_EQ(points(ranges, {proof("a", 600), proof("a", 700, false)})[0].proof,
            ProofState::kRefuted);
  EXPECT_EQ(points(ranges, {proof("a", 700), proof("a", 600, false)})[0].proof,
            ProofState::kProven);
  RunRecord one_check_failed = proof("a", 700);
  one_check_failed.checks = {{"rows", true}, {"balance", false, "12"}};
  const auto refuted = points(ranges, {one_check_failed});
  EXPECT_EQ(refuted[0].proof, ProofState::kRefuted);
  EXPECT_EQ(refuted[0].last_proof->error, "balance: 12");
}

TEST(RecoveryPoints, WhatWasNotLookedIntoOrNotFinishedProvesNothing) {
  RunRecord plain = proof("a", 600);
  plain.kind = RunKind::kRestore;  // without checks: something was copied
  RunRecord interrupted = proof("a", 600, false);
  interrupted.outcome = RunOutcome::kInterrupted;
  RunRecord backup = proof("a", 600);
  backup.kind = RunKind::kBackup;
  EXPECT_TRUE(proofs_among(std::vector<RunRecord>{plain, interrupted, backup}).empty());
  plain.checks = {{"started", true}};
  EXPECT_EQ(proofs_among(std::vector<RunRecord>{plain}).size(), 1U);
  plain.outcome = RunOutcome::kFailed;  // the place may have been full
  EXPECT_TRUE(proofs_among(std::vector<RunRecord>{plain}).empty());
}

TEST(RecoveryPoints, ARestoreOfAPartProvesNothingOfTheWhole) {
  RunRecord part = proof("a", 600);
  part.kind = RunKind::kRestore;
  part.checks = {{"files verified", true, "1 of 1 files read again"}};
  EXPECT_EQ(points({range("a", 100)}, {part})[0].proof, ProofState::kProven);
  set_fact(part, kSelectionFact, "/srv/uploads/one");
  EXPECT_EQ(points({range("a", 100)}, {part})[0].proof, ProofState::kNone);
}

// A drill that failed for a full disk or a wrong request, or only took a second too long.
TEST(RecoveryPoints, WhatSaysNothingOfTheBackupRefutesNoProof) {
  const std::vector<RecoveryRange> ranges{range("a", 100)};
  RunRecord drill = proof("a", 700, false);
  drill.kind = RunKind::kDrill;
  EXPECT_EQ(points(ranges, {proof("a", 600), drill})[0].proof, ProofState::kRefuted)
      << "as of records from before the fact";
  set_fact(drill, kProofFact, kProofNone);
  EXPECT_EQ(points(ranges, {proof("a", 600), drill})[0].proof, ProofState::kProven);
  RunRecord late = proof("a", 700);
  late.kind = RunKind::kDrill;
  late.outcome = RunOutcome::kIncomplete;
  EXPECT_EQ(points(ranges, {proof("a", 600), late})[0].proof, ProofState::kProven);
  EXPECT_EQ(points(ranges, {late})[0].proof, ProofState::kNone);
}

TEST(RecoveryPoints, DamagedOnesDoNotCount) {
  std::vector<RecoveryRange> ranges{range("b", 300), range("a", 100)};
  ranges[0].damaged = true;
  EXPECT_EQ(newest_state(points(ranges), Standard::kDurable), at(100));
  EXPECT_EQ(newest_point(points(ranges), Standard::kDurable)->range.snapshot, "a");
}

TEST(CommonPoint, WithLogsItIsOneInstant) {
  const std::vector<std::vector<RecoveryPoint>> sources{points({range("a", 100, 900)}),
                                                        points({range("b", 200, 850)})};
  const auto common = newest_common(sources, Standard::kDurable);
  ASSERT_TRUE(common);
  EXPECT_EQ(common->time, at(850));
  EXPECT_EQ(common->skew.count(), 0);
  EXPECT_EQ(common->snapshots, (std::vector<std::string>{"a", "b"}));
}

TEST(CommonPoint, ALogGoesBackToTheSnapshotOfTheOther) {
  const std::vector<std::vector<RecoveryPoint>> sources{
      points({range("db2", 600, 900), range("db1", 100, 900)}), points({range("files", 500)})};
  const auto common = newest_common(sources, Standard::kDurable);
  EXPECT_EQ(common->time, at(500));
  EXPECT_EQ(common->skew.count(), 0);
  EXPECT_EQ(common->snapshots[0], "db1") << "the newer backup does not reach back";
}

TEST(CommonPoint, SnapshotsApartHaveASkew) {
  const std::vector<std::vector<RecoveryPoint>> sources{
      points({range("a2", 503), range("a1", 403)}), points({range("b2", 500), range("b1", 400)})};
  const auto all = common_points(sources, Standard::kDurable, 10);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].time, at(500));
  EXPECT_EQ(all[0].skew, seconds(3));
  EXPECT_EQ(all[1].snapshots, (std::vector<std::string>{"a1", "b1"}));
}

TEST(CommonPoint, NothingIsTakenApartMoreThanItMust) {
  const std::vector<std::vector<RecoveryPoint>> sources{
      points({range("a2", 800), range("a1", 400)}), points({range("b1", 400)})};
  const auto common = newest_common(sources, Standard::kDurable);
  EXPECT_EQ(common->time, at(400));
  EXPECT_EQ(common->skew.count(), 0);
}

TEST(CommonPoint, OverAGapTheNextSnapshotIsTaken) {
  const std::vector<std::vector<RecoveryPoint>> sources{
      points({range("a2", 200, 300), range("a1", 0, 100)}), points({range("b", 0, 150)})};
  const auto common = newest_common(sources, Standard::kDurable);
  EXPECT_EQ(common->time, at(150));
  EXPECT_EQ(common->states[0], at(200));
  EXPECT_EQ(common->skew, seconds(50));
}

TEST(CommonPoint, ASourceWithoutAnyMeansNone) {
  const std::vector<std::vector<RecoveryPoint>> sources{points({range("a", 100)}), {}};
  EXPECT_FALSE(newest_common(sources, Standard::kDurable));
  EXPECT_FALSE(newest_common({}, Standard::kDurable));
  EXPECT_TRUE(common_points(sources, Standard::kDurable, 10).empty());
  const std::vector<std::vector<RecoveryPoint>> unproven{points({range("a", 100)})};
  EXPECT_FALSE(newest_common(unproven, Standard::kProven));
}

// Against every combination of instants, one a second.
TEST(CommonPoint, IsTheBestOfAllCombinations) {
  test::expect_property([] {
    std::vector<std::vector<RecoveryPoint>> sources;
    std::vector<std::set<int64_t>> reachable;
    const int count = *rc::gen::inRange(1, 4);
    for (int s = 0; s < count; ++s) {
      std::vector<RecoveryRange> ranges;
      std::set<int64_t> instants;
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
        const int64_t captured = *rc::gen::inRange(0, 30);
        const int64_t until = captured + *rc::gen::element(0, 0, 3, 10);
        ranges.push_back(range("s" + std::to_string(i), captured, until));
        for (int64_t t = captured; t <= until; ++t) {
          instants.insert(t);
        }
      }
      sources.push_back(points(ranges));
      reachable.push_back(instants);
    }
    // The oldest state as new as possible; then as close together as possible.
    std::optional<std::pair<int64_t, int64_t>> best;  // time, -skew
    const auto try_all = [&](auto& self, size_t s, int64_t low, int64_t high) -> void {
      if (s == reachable.size()) {
        best = std::max(best.value_or(std::pair(INT64_MIN, INT64_MIN)), std::pair(low, low - high));
        return;
      }
      for (const int64_t t : reachable[s]) {
        self(self, s + 1, std::min(low, t), std::max(high, t));
      }
    };
    try_all(try_all, 0, INT64_MAX, INT64_MIN);
    const auto common = newest_common(sources, Standard::kDurable);
    RC_ASSERT(common.has_value() == best.has_value());
    if (common) {
      RC_ASSERT(common->time == at(best->first));
      RC_ASSERT(common->skew == seconds(-best->second));
    }
  });
}

}  // namespace
}  // namespace salvor
