// Everything that would stop a run, found before anything is touched, all at once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/graph.h"
#include "plan/step.h"

namespace salvor::plan {

struct PreflightOrder {
  TextMap parameters;                        // values given; others keep their defaults
  std::map<std::string, PinnedPoint> fixed;  // by source: taken instead of what the plan says
  std::string run;                           // the run's id
};

struct Preflight {
  TextMap parameters;                         // all of them
  std::map<std::string, PinnedPoint> points;  // by step
  std::vector<std::string> problems;          // a sentence each, with the step's id
  std::vector<std::string> warnings;
  std::vector<std::string> destroys;  // what a person must agree to
  uint64_t bytes = 0;                 // that restores will bring
};

// Opens repositories, lists what can be reached, resolves secrets; changes nothing. Throws
// Error{kUsage} for a parameter that the plan does not have; everything else is a problem.
[[nodiscard]] Preflight look_ahead(const Context& context, const PlanGraph& graph, Site& site,
                                   Secrets& secrets, const PreflightOrder& order);

// One Error{kFailed} (or the code of the only problem) with all problems. Does nothing when there
// are none.
void throw_problems(const PlanGraph& graph, const Preflight& preflight);

}  // namespace salvor::plan
