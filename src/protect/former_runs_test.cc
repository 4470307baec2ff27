#include "protect/former_runs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace salvor {
namespace {

const WallTime kStart = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21);
const WallTime kNow = kStart + std::chrono::hours(24);

class FormerRunsTest : public ::testing::Test {
 protected:
  void add(RunOutcome outcome) { add(outcome, kStart + std::chrono::minutes(count_ + 1)); }
  void add(RunOutcome outcome, WallTime started) {
    RunRecord record;
    record.id = fmt::format("{:032x}", ++count_);
    record.kind = RunKind::kVerify;
    record.outcome = outcome;
    record.subject = "db";
    record.started = record.finished = started;
    catalog_.add(record, true);
  }
  FormerRuns former() {
    return former_runs(catalog_, Application{.name = "shop"},
                       {.kind = RunKind::kVerify, .subject = "db"}, kNow);
  }

  Catalog catalog_ = Catalog::in_memory();
  unsigned count_ = 0;
};

TEST_F(FormerRunsTest, CountsFailuresSinceTheLastThatWasDealtWith) {
  EXPECT_EQ(former().failures, 0U);
  add(RunOutcome::kFailed);
  EXPECT_EQ(former().failures, 1U) << "none has succeeded yet";
  add(RunOutcome::kSucceeded);
  EXPECT_EQ(former().failures, 0U);
  for (int i = 0; i < 12; ++i) {  // more than the first look takes in
    add(RunOutcome::kFailed);
  }
  add(RunOutcome::kInterrupted);
  const FormerRuns found = former();
  EXPECT_EQ(found.failures, 12U);
  EXPECT_EQ(found.last->outcome, RunOutcome::kInterrupted);
  EXPECT_EQ(found.good->started, kStart + std::chrono::minutes(2));
}

// Else nothing would be backed up until the calendar is where the clock once was.
TEST_F(FormerRunsTest, WhatAWrongClockWroteStandsForNothing) {
  add(RunOutcome::kSucceeded);
  add(RunOutcome::kSucceeded, kNow + std::chrono::days(3650));
  add(RunOutcome::kFailed, kNow + std::chrono::days(3650));
  const FormerRuns found = former();
  EXPECT_EQ(found.good->started, kStart + std::chrono::minutes(1));
  EXPECT_EQ(found.last->started, kStart + std::chrono::minutes(1));
  add(RunOutcome::kSucceeded, kNow + std::chrono::minutes(5));  // of a clock that is a little fast
  EXPECT_EQ(former().good->started, kNow + std::chrono::minutes(5));
}

TEST_F(FormerRunsTest, WhatWasMissedHidesNotWhatWasMade) {
  add(RunOutcome::kSucceeded);
  add(RunOutcome::kFailed);
  add(RunOutcome::kMissed);
  add(RunOutcome::kFailed);
  const FormerRuns found = former();
  EXPECT_EQ(found.good->outcome, RunOutcome::kMissed);
  EXPECT_EQ(found.failures, 1U);
  ASSERT_TRUE(found.made);
  EXPECT_EQ(found.made->started, kStart + std::chrono::minutes(1));
}

}  // namespace
}  // namespace salvor
