// Figures over the last days, against what was expected and promised (O3). Pure.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>

#include "model/run_record.h"
#include "protect/promises.h"

namespace salvor {

inline constexpr double kSuccessTarget = 0.999;
inline constexpr std::chrono::minutes kBackupTarget{10};

struct KeyFigures {
  std::chrono::days days{0};
  WallTime since;  // the beginning of those days, or of the history when that is later
  // Runs that the schedule asked for and that could have ended by now; those of them that made a
  // complete backup. A run that a person started counts for the time it stands in for.
  size_t expected = 0;
  size_t good = 0;
  size_t failed = 0;                   // runs that ended otherwise, whether expected or not
  std::optional<double> success_rate;  // good / expected; nothing: none was expected
  std::optional<double> mean_backup_seconds;
  std::optional<double> longest_backup_seconds;
  uint64_t added_bytes = 0;
  size_t proofs = 0;  // attempts to restore and look
  size_t proofs_passed = 0;
  std::optional<double> mean_recovery_seconds;  // measured
  std::optional<double> longest_recovery_seconds;
  std::optional<double> most_lost_seconds;  // measured
};

// `runs` of one source, any order.
[[nodiscard]] KeyFigures key_figures(const Promises& promises, std::span<const RunRecord> runs,
                                     std::chrono::days days, WallTime now);

}  // namespace salvor
