// One execution of anything: what the catalog keeps, `status` counts and evidence quotes.
// Design, "Formulas": c (captured), f (durable), v (proven).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/settings.h"

namespace salvor {

enum class RunKind : uint8_t {
  kBackup,
  kVerify,  // a restore into a sandbox, looked into
  kRestore,
  kDrill,
  kPlan,
  kCheck,
  kRetention,  // forget and prune
  kCopy,
};

enum class RunOutcome : uint8_t {
  kSucceeded,
  kIncomplete,  // a snapshot was made, but something is missing from it
  kFailed,
  kInterrupted,
  kMissed,  // was due and did not run
};

struct CheckResult {
  std::string name;
  bool passed = false;
  std::string value;     // found
  std::string expected;  // empty: just "holds"
  double seconds = 0;
};

struct RunRecord {
  std::string id;  // 32 hexadecimal digits
  RunKind kind = RunKind::kBackup;
  RunOutcome outcome = RunOutcome::kFailed;
  std::string subject;     // the source's, plan's or repository's name
  std::string repository;  // its name in the configuration
  WallTime due;            // when it should have begun; of the epoch: nobody planned it
  WallTime started;
  WallTime finished;
  std::string snapshot;              // full id; empty: none
  std::optional<WallTime> captured;  // c: the instant of the data
  std::optional<WallTime> reached;   // of a restore: until when the data is
  uint64_t read_bytes = 0;
  uint64_t added_bytes = 0;
  uint64_t items = 0;  // files, rows: what the store counts
  std::string scenario;
  std::optional<double> rto_seconds;  // measured
  std::optional<double> rpo_seconds;
  std::vector<CheckResult> checks;
  std::string error;  // one line
  std::string hint;
  std::string who;  // user@host
  std::string plan_hash;
  TextMap facts;  // what else the store says: "lsn", "timeline", "row counts"
};

[[nodiscard]] std::string_view name_of(RunKind kind);        // "backup" ...
[[nodiscard]] std::string_view name_of(RunOutcome outcome);  // "succeeded" ...
[[nodiscard]] std::optional<RunKind> run_kind(std::string_view name);
[[nodiscard]] std::optional<RunOutcome> run_outcome(std::string_view name);

}  // namespace salvor
