#include "protect/key_figures.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + hours(12);

Promises nightly() {
  Promises promises;
  promises.backup = Timetable(Schedule::parse("daily 02:00", TimeZone::utc()));
  return promises;
}

RunRecord backup(WallTime started, RunOutcome outcome = RunOutcome::kSucceeded,
                 std::chrono::seconds took = minutes(5)) {
  RunRecord run;
  run.kind = RunKind::kBackup;
  run.outcome = outcome;
  run.started = started;
  run.finished = started + took;
  run.added_bytes = 10;
  return run;
}

WallTime night(int ago) {
  return kNow - hours(10) - days(ago);
}

TEST(KeyFigures, RunsThatDidNotHappenCount) {
  // Eight nights, of which one failed and two are not there at all.
  std::vector<RunRecord> runs;
  for (const int ago : {0, 1, 2, 5, 6, 7}) {
    runs.push_back(backup(night(ago), ago == 2 ? RunOutcome::kFailed : RunOutcome::kSucceeded));
  }
  const KeyFigures week = key_figures(nightly(), runs, days(7), kNow);
  EXPECT_EQ(week.expected, 7U);
  EXPECT_EQ(week.good, 4U);
  EXPECT_EQ(week.failed, 1U);
  EXPECT_DOUBLE_EQ(*week.success_rate, 4.0 / 7);
  EXPECT_EQ(key_figures(nightly(), runs, days(90), kNow).expected, 8U) << "not before the history";
}

// Hourly, but only at night: nobody expects the sixteen of the day.
TEST(KeyFigures, NothingIsExpectedWhileTheWindowIsClosed) {
  Promises promises;
  promises.backup = Timetable(Schedule::parse("hourly", TimeZone::utc()),
                              TimeWindow{hours(22), hours(6)}, TimeZone::utc());
  std::vector<RunRecord> runs;
  for (int hour = -14 - 48; hour < 0; ++hour) {
    const WallTime at = kNow + hours(hour);
    if (const int of_day = (hour + 12 + 96) % 24; of_day >= 22 || of_day < 6) {
      runs.push_back(backup(at));
    }
  }
  const KeyFigures week = key_figures(promises, runs, days(7), kNow);
  EXPECT_EQ(week.expected, 24U);
  EXPECT_DOUBLE_EQ(*week.success_rate, 1.0);
}

// On the day that everything began: the first restore test was due, by its schedule, before there
// was anything to test.
TEST(KeyFigures, NothingIsExpectedBeforeTheFirstBackup) {
  std::vector<RunRecord> runs{backup(night(0) + hours(8))};
  runs[0].due = night(0);
  RunRecord proof = runs[0];
  proof.kind = RunKind::kVerify;
  proof.due = kNow - days(6);
  runs.push_back(proof);
  for (const int period : {7, 30, 90}) {
    const KeyFigures figures = key_figures(nightly(), runs, days(period), kNow);
    EXPECT_EQ(figures.expected, 1U) << period;
    EXPECT_EQ(figures.good, 1U) << period;
    EXPECT_EQ(figures.proofs_passed, 1U) << period;
  }
}

TEST(KeyFigures, ExtraRunsDoNotMakeUpForMissingOnes) {
  const std::vector<RunRecord> runs{backup(night(2)), backup(night(2) + hours(1)),
                                    backup(night(2) + hours(2)), backup(night(0))};
  const KeyFigures figures = key_figures(nightly(), runs, days(7), kNow);
  EXPECT_EQ(figures.expected, 3U);
  EXPECT_EQ(figures.good, 2U);
}

TEST(KeyFigures, ARunCaughtUpLateCountsForItsTime) {
  std::vector<RunRecord> runs{backup(night(2)), backup(night(0) - minutes(1)), backup(night(0))};
  EXPECT_EQ(key_figures(nightly(), runs, days(7), kNow).good, 3U);
  runs[1].due = night(1);
  EXPECT_EQ(key_figures(nightly(), runs, days(7), kNow).good, 3U);
  // Due last night, caught up this noon: not one for the next night.
  runs = {backup(night(1)), backup(kNow - minutes(5))};
  runs[1].due = night(0);
  EXPECT_EQ(key_figures(nightly(), runs, days(7), kNow).good, 2U);
}

TEST(KeyFigures, WhatIsUnderWayIsNotMissing) {
  const std::vector<RunRecord> runs{backup(night(1))};
  EXPECT_EQ(key_figures(nightly(), runs, days(7), night(0) + minutes(20)).expected, 1U);
  EXPECT_EQ(key_figures(nightly(), runs, days(7), night(0) + minutes(40)).expected, 2U);
}

TEST(KeyFigures, MeansAndWorstOfWhatWasMeasured) {
  std::vector<RunRecord> runs{backup(night(1), RunOutcome::kSucceeded, minutes(4)),
                              backup(night(0), RunOutcome::kSucceeded, minutes(8))};
  RunRecord drill;
  drill.kind = RunKind::kDrill;
  drill.outcome = RunOutcome::kSucceeded;
  drill.started = drill.finished = kNow - hours(1);
  drill.rto_seconds = 100;
  drill.rpo_seconds = 7;
  runs.push_back(drill);
  drill.outcome = RunOutcome::kFailed;
  drill.rto_seconds = 900;
  runs.push_back(drill);
  const KeyFigures figures = key_figures(nightly(), runs, days(7), kNow);
  EXPECT_DOUBLE_EQ(*figures.mean_backup_seconds, 360);
  EXPECT_DOUBLE_EQ(*figures.longest_backup_seconds, 480);
  EXPECT_DOUBLE_EQ(*figures.longest_recovery_seconds, 100) << "what failed recovered nothing";
  EXPECT_DOUBLE_EQ(*figures.most_lost_seconds, 7);
  EXPECT_EQ(figures.proofs, 2U);
  EXPECT_EQ(figures.proofs_passed, 1U);
  EXPECT_EQ(figures.added_bytes, 20U);
}

TEST(KeyFigures, ARestoreOfAFileMeasuresNoRecovery) {
  RunRecord part;
  part.kind = RunKind::kRestore;
  part.outcome = RunOutcome::kSucceeded;
  part.started = part.finished = kNow - hours(1);
  part.rto_seconds = 1;
  part.facts = {{"selection", "/srv/uploads/one"}};
  const std::vector<RunRecord> runs{backup(night(0)), part};
  EXPECT_FALSE(key_figures(nightly(), runs, days(7), kNow).mean_recovery_seconds);
}

TEST(KeyFigures, TheFirstRunCountsForWhatItWasDueFor) {
  const std::vector<RunRecord> runs{backup(night(1) + std::chrono::seconds(30)),
                                    backup(night(0) + std::chrono::seconds(30))};
  const KeyFigures figures = key_figures(nightly(), runs, days(7), kNow);
  EXPECT_EQ(figures.expected, 2U);
  EXPECT_EQ(figures.good, 2U);
}

TEST(KeyFigures, NothingExpectedIsNoRate) {
  EXPECT_FALSE(key_figures(nightly(), {}, days(7), kNow).success_rate);
  EXPECT_FALSE(key_figures(Promises{}, std::vector<RunRecord>{backup(night(1))}, days(7), kNow)
                   .success_rate);
}

}  // namespace
}  // namespace salvor
