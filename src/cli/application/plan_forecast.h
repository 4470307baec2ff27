// How long a run of a plan may take, from what was measured.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/application/plan_session.h"

namespace salvor::cli {

struct StepForecast {
  double seconds = 0;
  // An earlier run of the plan took so long; else it is reckoned from restores of the source.
  bool taken = false;
};

struct PlanForecast {
  std::map<std::string, StepForecast> steps;  // by step; only those of which something is known
  std::vector<std::string> unknown;           // that would run, and of which nothing is
  // The longest way through the graph, without the unknown; nothing when nothing is known.
  std::optional<double> seconds;
};

// `points`: what the restores would bring.
[[nodiscard]] PlanForecast forecast_plan(const Context& context, const PlanSession& plans,
                                         const plan::PlanGraph& graph, plan::Mode mode,
                                         const std::map<std::string, plan::PinnedPoint>& points);

}  // namespace salvor::cli
