// A drill: sandboxes, a disaster made real in them, the plan run against them, checks with values,
// the times measured against the objectives, everything undone.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "model/drill_report.h"
#include "plan/graph.h"
#include "plan/plan_run.h"
#include "protect/watched_sandbox.h"

namespace salvor {

struct DrillOrder {
  std::string id;    // 32 hexadecimal digits
  std::string name;  // the calendar's; empty: asked for by hand
  // Nothing: every one of `sources` is restored, started and checked.
  std::optional<plan::PlanGraph> plan;
  std::vector<std::string> sources;  // without a plan; with one: what it names
  std::string scenario;              // empty: no fault
  SandboxSpec sandbox;
  TextMap parameters;
  std::chrono::seconds keep{0};      // how long the sandboxes stay after it, for a look
  unsigned older_point_percent = 0;  // how often an older point is taken instead of the newest
  std::string program;               // "salvor 1.2.3"
};

struct DrillTools {
  const Application& application;
  Stores& stores;
  const plan::RunFolder& folder;
  plan::Secrets& secrets;
  plan::RunObserver& observer;
  plan::People& people;
  std::function<void(const std::string&)> say;  // one sentence: what the drill itself does
  // The plan is about to run.
  std::function<void(const plan::PlanRun&)> begin = {};
};

struct DrillResult {
  DrillReport report;
  // All that was restored was looked into and found right; at most an objective was missed.
  bool passed = false;
  std::map<std::string, PointFinding> points;  // by source, of those that a point was chosen for
  std::string error;  // why it did not succeed, one line; findings say more than that
};

// Blocks until the sandboxes are gone. What fails is in the report; throws Error only for what
// keeps the drill from beginning (the plan runs already, a source is unknown).
[[nodiscard]] DrillResult run_drill(const Context& context, const DrillTools& tools,
                                    const DrillOrder& order);

// What the catalog and `status` get to know: first the drill's record (subject: its name in the
// calendar, else the plan, else the application), then one for each source. That says what the
// drill found out about the source's point (run_facts.h): a step that failed elsewhere, a full disk
// or a missed objective refutes no backup.
[[nodiscard]] std::vector<RunRecord> drill_records(const Application& application,
                                                   const DrillResult& result);

// "corruption", ...
[[nodiscard]] const std::vector<std::string>& drill_scenarios();

}  // namespace salvor
