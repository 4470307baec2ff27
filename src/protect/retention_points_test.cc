#include "protect/retention_points.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::hours;

const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21);

RunRecord run(RunKind kind, const std::string& snapshot, RunOutcome outcome, int ago) {
  RunRecord record;
  record.kind = kind;
  record.outcome = outcome;
  record.snapshot = snapshot;
  record.started = record.finished = kNow - hours(ago);
  return record;
}

RetentionPoint judged(const std::vector<RunRecord>& runs, PlacedSnapshot placed = {}) {
  placed.snapshot = "copy";
  placed.original = "own";
  return retention_points(std::vector<PlacedSnapshot>{placed}, runs, kNow).front();
}

TEST(RetentionPoints, ABackupIsGoodWhenItWasCompleteAndItsChecksPassed) {
  RunRecord backup = run(RunKind::kBackup, "own", RunOutcome::kSucceeded, 5);
  EXPECT_EQ(judged({}).quality, PointQuality::kUnknown);
  EXPECT_EQ(judged({backup}).quality, PointQuality::kGood);
  EXPECT_EQ(judged({backup}).snapshot, "copy") << "known by what it is a copy of";
  EXPECT_EQ(judged({backup}, {.damaged = true}).quality, PointQuality::kBad);
  backup.checks = {{"sample read again", false}};
  EXPECT_EQ(judged({backup}).quality, PointQuality::kBad);
  EXPECT_EQ(judged({run(RunKind::kBackup, "own", RunOutcome::kIncomplete, 5)}).quality,
            PointQuality::kBad);
}

// It says that nobody should rely on the point, not that the backup is worth nothing: a wrong
// assertion or a server that cannot start in the sandbox fails as well as damage does.
TEST(RetentionPoints, AfterAFailedAttemptToRestoreNobodyKnows) {
  const RunRecord backup = run(RunKind::kBackup, "own", RunOutcome::kSucceeded, 9);
  const RunRecord proven = run(RunKind::kVerify, "own", RunOutcome::kSucceeded, 6);
  const RunRecord failed = run(RunKind::kVerify, "own", RunOutcome::kFailed, 3);
  EXPECT_EQ(judged({proven, backup}).proven_at, kNow - hours(6));
  EXPECT_EQ(judged({failed, proven, backup}).quality, PointQuality::kUnknown);
  EXPECT_EQ(judged({failed, proven, backup}).proven_at, kNow - hours(6)) << "that was so";
  EXPECT_EQ(judged({failed}).quality, PointQuality::kUnknown);
  const RunRecord again = run(RunKind::kVerify, "own", RunOutcome::kSucceeded, 1);
  EXPECT_EQ(judged({again, failed, backup}).quality, PointQuality::kGood);
}

TEST(RetentionPoints, WhatTheBackupItselfFoundStaysBad) {
  const RunRecord backup = run(RunKind::kBackup, "own", RunOutcome::kIncomplete, 9);
  const RunRecord failed = run(RunKind::kVerify, "own", RunOutcome::kFailed, 3);
  EXPECT_EQ(judged({failed, backup}).quality, PointQuality::kBad);
  const RunRecord proven = run(RunKind::kVerify, "own", RunOutcome::kSucceeded, 6);
  EXPECT_EQ(judged({proven, backup}).quality, PointQuality::kGood) << "it can be restored";
  EXPECT_EQ(judged({failed, proven, backup}).quality, PointQuality::kBad);
}

// A drill fails for something else, and the next retention comes along.
TEST(RetentionPoints, AFailedDrillDoesNotCostAGoodBackup) {
  const RunRecord backup = run(RunKind::kBackup, "own", RunOutcome::kSucceeded, 40);
  const RunRecord proven = run(RunKind::kVerify, "own", RunOutcome::kSucceeded, 36);
  const RunRecord drill = run(RunKind::kDrill, "own", RunOutcome::kFailed, 3);
  const RunRecord newer = run(RunKind::kBackup, "newer", RunOutcome::kSucceeded, 2);
  const std::vector<PlacedSnapshot> placed{
      {.snapshot = "newer", .original = "newer", .captured = kNow - hours(2)},
      {.snapshot = "own", .original = "own", .captured = kNow - hours(40)}};
  for (const RetentionRule& rule :
       {RetentionRule{.last = 1}, RetentionRule{.daily = 7}, RetentionRule{.within = hours(48)}}) {
    const std::vector<RunRecord> all{drill, newer, proven, backup};
    EXPECT_TRUE(
        plan_point_retention(retention_points(placed, all, kNow), rule, TimeZone::utc(), kNow)
            .removed()
            .empty());
  }
  // Also one that was never proven, where the rules would keep it.
  EXPECT_TRUE(plan_point_retention(
                  retention_points(placed, std::vector<RunRecord>{drill, newer, backup}, kNow),
                  {.daily = 7}, TimeZone::utc(), kNow)
                  .removed()
                  .empty());
}

TEST(RetentionPoints, ALabelsPromiseHoldsUntilItsDay) {
  EXPECT_NE(judged({}, {.tags = {"salvor:keep-until=2026-11-22T00:00:00Z"}}).promise, "");
  EXPECT_EQ(judged({}, {.tags = {"salvor:keep-until=2026-11-20T00:00:00Z"}}).promise, "");
}

}  // namespace
}  // namespace salvor
