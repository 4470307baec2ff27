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

TEST(RetentionPoints, TheLastAttemptToRestoreHasTheLastWord) {
  const RunRecord backup = run(RunKind::kBackup, "own", RunOutcome::kSucceeded, 9);
  const RunRecord proven = run(RunKind::kVerify, "own", RunOutcome::kSucceeded, 6);
  const RunRecord failed = run(RunKind::kVerify, "own", RunOutcome::kFailed, 3);
  EXPECT_EQ(judged({proven, backup}).proven_at, kNow - hours(6));
  EXPECT_EQ(judged({failed, proven, backup}).quality, PointQuality::kBad);
  const RunRecord again = run(RunKind::kVerify, "own", RunOutcome::kSucceeded, 1);
  EXPECT_EQ(judged({again, failed, backup}).quality, PointQuality::kGood);
}

TEST(RetentionPoints, ALabelsPromiseHoldsUntilItsDay) {
  EXPECT_NE(judged({}, {.tags = {"salvor:keep-until=2026-11-22T00:00:00Z"}}).promise, "");
  EXPECT_EQ(judged({}, {.tags = {"salvor:keep-until=2026-11-20T00:00:00Z"}}).promise, "");
}

}  // namespace
}  // namespace salvor
