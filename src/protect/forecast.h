// How long a recovery would take now, from how long measured ones took. Pure.
//
// A recovery is: reading back so many bytes at the rate that restores of this source had, going
// through so much log at the rate that was measured, and what does not depend on size (finding,
// starting, checking). Restores write what they measured into their record's facts:
// "restore-seconds" and "log-seconds"; without them the whole time counts as
// reading.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "model/run_record.h"

namespace salvor {

// Numbers measured by restores of one source, of the newest few.
struct RestoreRates {
  size_t samples = 0;
  double bytes_per_second = 0;
  std::optional<double> log_seconds_per_second;  // of the log's time, to replay
  double fixed_seconds = 0;                      // whatever else took time, the mean
};
// Nothing when none of the runs restored a whole point successfully.
[[nodiscard]] std::optional<RestoreRates> measure_rates(std::span<const RunRecord> runs);

struct Forecast {
  double seconds = 0;  // the sum of
  double restore_seconds = 0;
  double log_seconds = 0;
  double fixed_seconds = 0;
  uint64_t bytes = 0;
  RestoreRates rates;
};
// `log`: how much time the log covers from the snapshot to the point.
[[nodiscard]] Forecast forecast_recovery(const RestoreRates& rates, uint64_t bytes,
                                         std::chrono::nanoseconds log);

}  // namespace salvor
