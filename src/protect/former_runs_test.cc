#include "protect/former_runs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace salvor {
namespace {

const WallTime kStart = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21);

class FormerRunsTest : public ::testing::Test {
 protected:
  void add(RunOutcome outcome) {
    RunRecord record;
    record.id = fmt::format("{:032x}", ++count_);
    record.kind = RunKind::kVerify;
    record.outcome = outcome;
    record.subject = "db";
    record.started = record.finished = kStart + std::chrono::minutes(count_);
    catalog_.add(record, true);
  }
  FormerRuns former() {
    return former_runs(catalog_, Application{.name = "shop"},
                       {.kind = RunKind::kVerify, .subject = "db"});
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

}  // namespace
}  // namespace salvor
