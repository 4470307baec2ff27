#include "protect/due.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/timestamp.h"

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

WallTime at(int day, int hour, int minute = 0) {  // of March 2026, UTC
  using namespace std::chrono;
  return sys_days(year(2026) / 3 / day) + hours(hour) + std::chrono::minutes(minute);
}

Application application(const std::string& schedule, const std::string& zone = "UTC") {
  Application made;
  made.name = "shop";
  made.policies = {{.name = "p", .schedule = schedule, .time_zone = zone}};
  made.sources = {{.name = "db", .kind = "files", .repository = "main", .policy = "p"}};
  return made;
}

RunRecord run(RunOutcome outcome, WallTime due, WallTime started) {
  RunRecord record;
  record.outcome = outcome;
  record.due = due;
  record.started = started;
  record.finished = started + minutes(1);
  return record;
}

// The backup of the only source, after these runs (newest last).
std::optional<DueJob> backup_due(const Application& app, const std::vector<RunRecord>& runs,
                                 WallTime now) {
  return due_now(
      app, jobs_of(app).front(),
      [&](const Job&) {
        FormerRuns former;
        for (const RunRecord& record : runs) {
          former.last = record;
          if (record.outcome != RunOutcome::kFailed && record.outcome != RunOutcome::kInterrupted) {
            former.good = record;
          }
          if (record.outcome == RunOutcome::kSucceeded) {
            former.made = record;
          }
        }
        return former;
      },
      now);
}

TEST(Due, TheFirstBackupDoesNotWait) {
  const auto due = backup_due(application("daily 02:00"), {}, at(10, 12));
  ASSERT_TRUE(due);
  EXPECT_EQ(due->due, at(10, 2));
  EXPECT_THAT(due->missed, IsEmpty());
}

TEST(Due, IsDoneOncePerInstant) {
  const Application app = application("daily 02:00");
  const RunRecord done = run(RunOutcome::kSucceeded, at(10, 2), at(10, 2, 3));
  EXPECT_FALSE(backup_due(app, {done}, at(10, 2, 5)));
  EXPECT_FALSE(backup_due(app, {done}, at(11, 1, 59)));
  EXPECT_EQ(backup_due(app, {done}, at(11, 2))->due, at(11, 2));
  EXPECT_FALSE(backup_due(app, {run(RunOutcome::kIncomplete, at(10, 2), at(10, 2))}, at(10, 3)));
}

TEST(Due, CatchesUpTheLastInstantAndTellsTheOthersAsMissed) {
  const Application app = application("daily 02:00");
  const auto due = backup_due(app, {run(RunOutcome::kSucceeded, at(10, 2), at(10, 2))}, at(14, 9));
  ASSERT_TRUE(due);
  EXPECT_EQ(due->due, at(14, 2));
  EXPECT_THAT(due->missed, ElementsAre(at(11, 2), at(12, 2), at(13, 2)));
}

TEST(Due, ARunByHandCountsForWhatWasDueBefore) {
  const Application app = application("daily 02:00");
  EXPECT_FALSE(backup_due(app, {run(RunOutcome::kSucceeded, {}, at(11, 2, 30))}, at(11, 3)));
  const auto due = backup_due(app, {run(RunOutcome::kSucceeded, {}, at(11, 1, 30))}, at(11, 3));
  ASSERT_TRUE(due);
  EXPECT_THAT(due->missed, IsEmpty());
}

TEST(Due, WhatFailedIsTriedAgainAfterAWhileAndIsNotMissed) {
  const Application app = application("daily 02:00");
  const RunRecord good = run(RunOutcome::kSucceeded, at(10, 2), at(10, 2));
  const RunRecord failed = run(RunOutcome::kFailed, at(11, 2), at(11, 2));
  EXPECT_FALSE(backup_due(app, {good, failed}, at(11, 2, 4)));
  const auto again = backup_due(app, {good, failed}, at(11, 2, 6));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->due, at(11, 2));
  const auto next_day = backup_due(app, {good, failed}, at(12, 3));
  EXPECT_THAT(next_day->missed, IsEmpty()) << "the failure of the 11th is in the records";
  const RunRecord interrupted = run(RunOutcome::kInterrupted, at(11, 2), at(11, 2));
  EXPECT_TRUE(backup_due(app, {good, interrupted}, at(11, 2, 2)));
}

// A drill that cannot work must not be run through, and take its disk and its time, every five
// minutes.
TEST(Due, WhatReadsMuchRestsLongerAfterEachFailure) {
  const auto due_after = [](RunKind kind, size_t failures) { return retry_after(kind, failures); };
  EXPECT_EQ(due_after(RunKind::kBackup, 100), minutes(5));
  for (const RunKind kind : {RunKind::kVerify, RunKind::kCheck, RunKind::kDrill}) {
    EXPECT_EQ(due_after(kind, 1), minutes(5));
    EXPECT_EQ(due_after(kind, 2), minutes(10));
    EXPECT_EQ(due_after(kind, 5), minutes(80));
    EXPECT_EQ(due_after(kind, 9), minutes(1280));
    EXPECT_EQ(due_after(kind, 10), hours(24));
    EXPECT_EQ(due_after(kind, 100'000), hours(24));
  }
  Application app = application("daily 02:00");
  app.drills = {{.name = "monthly", .schedule = "daily 09:00", .time_zone = "UTC"}};
  const Job drill = jobs_of(app).back();
  FormerRuns former;
  former.last = run(RunOutcome::kFailed, at(10, 9), at(10, 9));
  former.failures = 3;
  const auto due = [&](WallTime now) {
    return due_now(app, drill, [&](const Job&) { return former; }, now).has_value();
  };
  EXPECT_FALSE(due(at(10, 9, 20)));
  EXPECT_TRUE(due(at(10, 9, 21)));
  former.last->outcome = RunOutcome::kInterrupted;
  EXPECT_TRUE(due(at(10, 9, 2))) << "what was interrupted, at once";
}

TEST(Due, DaylightSavingSkipsNoDayAndDoublesNone) {
  // On 29 March 2026 02:00 becomes 03:00 in Berlin: 02:30 runs at 03:00, which is 01:00 UTC.
  const Application app = application("daily 02:30", "Europe/Berlin");
  const RunRecord before = run(RunOutcome::kSucceeded, at(28, 1, 30), at(28, 1, 30));
  EXPECT_FALSE(backup_due(app, {before}, at(29, 0, 59)));
  const auto due = backup_due(app, {before}, at(29, 1));
  ASSERT_TRUE(due);
  EXPECT_EQ(due->due, at(29, 1));
  EXPECT_THAT(due->missed, IsEmpty());
  const RunRecord then = run(RunOutcome::kSucceeded, at(29, 1), at(29, 1));
  EXPECT_FALSE(backup_due(app, {then}, at(30, 0, 29)));
  EXPECT_TRUE(backup_due(app, {then}, at(30, 0, 30)));
}

TEST(Due, JitterIsStableAndMovesTheInstant) {
  Application app = application("daily 02:00");
  app.policies[0].jitter = minutes(30);
  const auto first = next_runs(app, at(10, 0), at(20, 0), 100);
  ASSERT_EQ(first.size(), 10U);
  const auto offset = first[0].at - at(10, 2);
  EXPECT_GE(offset, minutes(0));
  EXPECT_LT(offset, minutes(30));
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].at, at(10 + static_cast<int>(i), 2) + offset);
  }
  const RunRecord done = run(RunOutcome::kSucceeded, at(10, 2) + offset, at(10, 2) + offset);
  EXPECT_FALSE(backup_due(app, {done}, at(11, 2) + offset - std::chrono::seconds(1)));
  EXPECT_TRUE(backup_due(app, {done}, at(11, 2) + offset));
}

TEST(Due, NothingBeginsOutsideOfTheWindow) {
  Application app = application("every 1 h", "Europe/Berlin");
  app.policies[0].window = TimeWindow{hours(22), hours(6)};
  const RunRecord done = run(RunOutcome::kSucceeded, at(10, 4), at(10, 4));
  EXPECT_FALSE(backup_due(app, {done}, at(10, 12)));
  EXPECT_FALSE(backup_due(app, {done}, at(10, 20, 59)));  // 21:59 in Berlin
  const auto due = backup_due(app, {done}, at(10, 21));
  ASSERT_TRUE(due);
  // What waited for the window was not missed; 05:00 in Berlin was inside, 06:00 no more.
  EXPECT_THAT(due->missed, IsEmpty());
  EXPECT_THAT(
      backup_due(app, {run(RunOutcome::kSucceeded, at(10, 2), at(10, 2))}, at(10, 21))->missed,
      ElementsAre(at(10, 3), at(10, 4)));
}

TEST(Due, WhatWaitsForTheWindowIsListedWhenItOpens) {
  Application app = application("every 6 h", "Europe/Berlin");
  app.policies[0].window = TimeWindow{hours(22), hours(6)};
  std::vector<WallTime> begins;
  for (const NextRun& one : next_runs(app, at(10, 1), at(12, 0), 100)) {
    begins.push_back(one.at);
  }
  // 06:00, 12:00 and 18:00 UTC are outside: they wait for 22:00 in Berlin.
  EXPECT_THAT(begins, ElementsAre(at(10, 21), at(11, 0), at(11, 21), at(12, 0)));
  // The night on which the clocks go forward has its opening at 20:00 UTC afterwards.
  EXPECT_EQ(next_runs(app, at(29, 6), at(30, 0), 1).front().at, at(29, 20));
}

TEST(Due, OnlyTheLastOfManyThatWereMissedAreTold) {
  const auto due = backup_due(application("every 1 min"),
                              {run(RunOutcome::kSucceeded, at(1, 0), at(1, 0))}, at(20, 0));
  ASSERT_TRUE(due);
  ASSERT_EQ(due->missed.size(), kMostMissed);
  EXPECT_EQ(due->missed.back(), at(19, 23, 59));
  EXPECT_TRUE(std::ranges::is_sorted(due->missed));
}

TEST(Due, CopiesAndRetentionFollowTheBackup) {
  Application app = application("daily 02:00");
  app.sources[0].copies = {{.to = "offsite", .schedule = "", .retention = {}}};
  std::vector<RunRecord> copies;
  std::optional<RunRecord> backup;
  std::optional<RunRecord> missed;
  const FormerRunsOf former = [&](const Job& job) {
    FormerRuns runs;
    if (job.kind == RunKind::kBackup) {
      runs.last = runs.good = runs.made = backup;
      if (missed) {
        runs.good = missed;
      }
    } else if (job.kind == RunKind::kCopy && !copies.empty()) {
      runs.last = copies.back();
      if (copies.back().outcome == RunOutcome::kSucceeded) {
        runs.good = copies.back();
      }
    }
    return runs;
  };
  const Job copy = jobs_of(app)[1];
  EXPECT_EQ(copy.display(), "copy of db to offsite");
  EXPECT_FALSE(due_now(app, copy, former, at(10, 3)));
  backup = run(RunOutcome::kSucceeded, at(10, 2), at(10, 2));
  EXPECT_TRUE(due_now(app, copy, former, at(10, 3)));
  copies.push_back(run(RunOutcome::kFailed, {}, at(10, 2, 10)));
  EXPECT_TRUE(due_now(app, copy, former, at(10, 3)));
  // The machine was off for two days, and backups fail since: there still is one to copy.
  missed = run(RunOutcome::kMissed, at(12, 2), at(12, 2));
  EXPECT_TRUE(due_now(app, copy, former, at(13, 3)));
  copies.push_back(run(RunOutcome::kSucceeded, {}, at(10, 3)));
  EXPECT_FALSE(due_now(app, copy, former, at(10, 4)));
}

TEST(Due, ChecksReadEachRepositoryCopiesIncluded) {
  Application app = application("daily 02:00");
  app.policies[0].verification.check = "Sat 05:00";
  app.policies[0].verification.check_percent = 7;
  app.sources[0].copies = {{.to = "offsite"},
                           {.to = "main"},  // another source's backups are there: its own
                           {.to = "vault", .check = "monthly on 1 06:00", .check_percent = 1},
                           {.to = "glacier", .check = ""}};
  app.sources.push_back(app.sources[0]);
  app.sources[1].name = "other";
  app.sources[1].copies = {{.to = "vault", .check = "daily 01:00", .check_percent = 9}};
  const auto checked = checked_repositories(app);
  ASSERT_EQ(checked.size(), 3U);
  EXPECT_EQ(checked[0].repository, "main");
  EXPECT_EQ(checked[0].percent, 7U);
  EXPECT_EQ(checked[1].repository, "offsite");
  EXPECT_EQ(checked[1].schedule, "Sat 05:00");
  EXPECT_EQ(checked[1].percent, 7U);
  EXPECT_EQ(checked[2].repository, "vault") << "what the first copy says that goes there";
  EXPECT_EQ(checked[2].schedule, "monthly on 1 06:00");
  EXPECT_EQ(checked[2].percent, 1U);

  std::vector<std::string> checks;
  for (const Job& job : jobs_of(app)) {
    if (job.kind == RunKind::kCheck) {
      checks.push_back(job.display());
    }
  }
  EXPECT_THAT(checks, ElementsAre("check of main", "check of offsite", "check of vault"));
}

TEST(Due, ACopysRepositoryIsCheckedOnceThereIsSomethingInIt) {
  Application app = application("daily 02:00");
  app.policies[0].verification.check = "Sat 05:00";
  app.sources[0].copies = {{.to = "offsite"}};
  std::optional<RunRecord> copy;
  const FormerRunsOf former = [&](const Job& job) {
    FormerRuns runs;
    if (job.kind == RunKind::kBackup && job.repository != "offsite") {
      runs.last = runs.good = runs.made = run(RunOutcome::kSucceeded, at(10, 2), at(10, 2));
    } else if (job.kind == RunKind::kCopy && job.repository == "offsite") {
      runs.last = runs.good = runs.made = copy;
    }
    return runs;
  };
  const Job check{RunKind::kCheck, "offsite", "offsite", "Sat 05:00", ""};
  EXPECT_FALSE(due_now(app, check, former, at(10, 3)));
  copy = run(RunOutcome::kSucceeded, at(10, 2, 5), at(10, 2, 5));
  const auto due = due_now(app, check, former, at(10, 3));
  ASSERT_TRUE(due);
  EXPECT_EQ(due->why, kNeverDone);
}

TEST(Due, SayWhyAndWhenNext) {
  const auto runs = next_runs(application("every 6 h"), at(10, 1), at(11, 1), 100);
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].at, at(10, 6));
  EXPECT_EQ(runs[0].why, "every 6 h");
  EXPECT_THAT(runs[0].job.display(), HasSubstr("backup of db"));
}

}  // namespace
}  // namespace salvor
