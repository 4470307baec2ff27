// What a drill found: the value that evidence signs and reports show. Made by protect/drill.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/run_record.h"

namespace salvor {

// To what one store was brought back.
struct DrillPoint {
  std::string source;
  std::string snapshot;  // full id
  std::string asked;     // Moment::display()
  // The instant that was to be restored. RPO is counted from it.
  WallTime wanted;
  std::optional<WallTime> captured;  // the snapshot's c
  std::optional<WallTime> reached;   // until when the restored data is
  uint64_t restored_bytes = 0;
  bool older = false;  // a random older point, not the newest
  std::string fault;   // what was done to the sandbox before, a sentence; empty: nothing
};

struct DrillStep {
  std::string id;
  std::string title;
  std::string kind;
  std::string state;  // "done", "failed", "skipped", "undone", "not run"
  WallTime started;   // of the epoch: never
  WallTime finished;
  unsigned attempts = 0;
  std::string summary;  // what it did, one line
  std::string error;
  std::vector<CheckResult> checks;
  std::vector<std::string> after;  // ids
  std::string network = {};        // of commands: "off", or "open" and why; empty: not a command's
};

// Measured against promised, for a source or (source empty) the application.
struct DrillMeasure {
  std::string source;
  std::optional<double> rto_seconds;
  std::optional<double> rpo_seconds;
  std::optional<double> rto_objective_seconds;
  std::optional<double> rpo_objective_seconds;
  bool met = true;  // what was measured is within what was promised
};

struct DrillReport {
  std::string id;    // 32 hexadecimal digits; of the RunRecord, too
  std::string name;  // the calendar's, DrillSpec::name; empty: asked for by hand
  std::string application;
  std::string environment;
  std::string plan;       // empty: none, every source was restored, started and checked
  std::string plan_hash;  // SHA-256 of the canonical text, hexadecimal
  std::string scenario;   // empty: no fault
  std::string sandbox;    // its name
  std::string who;        // user@host
  std::string program;    // "salvor 1.2.3"
  WallTime started;
  WallTime declared;    // when the fault was made: RTO counts from here
  WallTime service_ok;  // when the last check had passed; of the epoch: never
  WallTime finished;    // the sandbox is gone
  RunOutcome outcome = RunOutcome::kFailed;
  std::vector<DrillPoint> points;
  std::vector<DrillStep> steps;        // in the order in which they began
  std::vector<CheckResult> checks;     // all of them; a step's stand there as well
  std::vector<DrillMeasure> measures;  // the application first
  std::vector<std::string> kept;       // how to enter sandboxes that were kept; not in the evidence
  WallTime kept_until;
  std::vector<std::string> findings;  // sentences: what failed, was not exercised, is to be done
};

}  // namespace salvor
