#include "protect/forecast.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::seconds;

RunRecord restore(int64_t started, double took, uint64_t bytes) {
  RunRecord run;
  run.kind = RunKind::kVerify;
  run.outcome = RunOutcome::kSucceeded;
  run.started = WallTime(seconds(started));
  run.finished = run.started + std::chrono::milliseconds(static_cast<int64_t>(took * 1000));
  run.read_bytes = bytes;
  return run;
}

TEST(Forecast, WithoutAMeasurementThereIsNone) {
  EXPECT_FALSE(measure_rates({}));
  RunRecord failed = restore(0, 10, 100);
  failed.outcome = RunOutcome::kFailed;
  RunRecord backup = restore(0, 10, 100);
  backup.kind = RunKind::kBackup;
  EXPECT_FALSE(measure_rates(std::vector<RunRecord>{failed, backup, restore(0, 10, 0)}));
}

TEST(Forecast, ARestoreOfAPartMeasuresNothing) {
  RunRecord part = restore(0, 1, 100);
  part.kind = RunKind::kRestore;
  part.facts = {{"selection", "/srv/uploads/one"}};
  EXPECT_FALSE(measure_rates(std::vector<RunRecord>{part}));
}

TEST(Forecast, TwiceTheDataTakesTwiceAsLong) {
  const auto rates = measure_rates(std::vector<RunRecord>{restore(0, 100, 1000)});
  ASSERT_TRUE(rates);
  EXPECT_DOUBLE_EQ(forecast_recovery(*rates, 2000, seconds(0)).seconds, 200);
}

TEST(Forecast, PartsGrowByWhatTheyDependOn) {
  RunRecord run = restore(1000, 100, 1000);
  run.captured = WallTime(seconds(0));
  run.reached = WallTime(seconds(600));
  run.facts = {{"restore-seconds", "50"}, {"log-seconds", "30"}};  // 20 for the rest
  const auto rates = measure_rates(std::vector<RunRecord>{run});
  const Forecast same = forecast_recovery(*rates, 1000, seconds(600));
  EXPECT_DOUBLE_EQ(same.seconds, 100) << "the same again takes as long";
  const Forecast more = forecast_recovery(*rates, 2000, seconds(1800));
  EXPECT_DOUBLE_EQ(more.restore_seconds, 100);
  EXPECT_DOUBLE_EQ(more.log_seconds, 90);
  EXPECT_DOUBLE_EQ(more.fixed_seconds, 20);
}

TEST(Forecast, OnlyTheNewestMeasurementsCount) {
  std::vector<RunRecord> runs{restore(0, 1000, 1000)};  // an old, slow machine
  for (int i = 1; i <= 5; ++i) {
    runs.push_back(restore(i, 10, 1000));
  }
  const auto rates = measure_rates(runs);
  EXPECT_EQ(rates->samples, 5U);
  EXPECT_DOUBLE_EQ(rates->bytes_per_second, 100);
}

}  // namespace
}  // namespace salvor
