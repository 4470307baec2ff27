// A plan's steps as the graph that is run.
//
// Order: a step waits for everything above it, unless it says `after`. Steps that stand `together`
// wait for what the block would, and what follows the block waits for all of them.
#pragma once

#include "config/checker.h"
#include "model/plan_spec.h"

namespace salvor::config {

// A name that an `after` refers to and no step has; where it stands is found by these numbers.
struct UnknownStep {
  std::string name;
  size_t step = 0;    // of the plan's list, from 0
  size_t inside = 0;  // of a `together`, from 1; 0: the item itself
  std::vector<std::string> known;
};

struct ReadPlan {
  PlanSpec plan;
  std::vector<UnknownStep> unknown;
  std::vector<std::string> twice;  // names that several steps have
};

[[nodiscard]] ReadPlan read_plan(const Checked& checked);

// Steps that wait for one another, in their order; empty: none do.
[[nodiscard]] std::vector<std::string> find_cycle(const PlanSpec& plan);

}  // namespace salvor::config
