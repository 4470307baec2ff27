// A plan as a graph, resolved and checked: the steps of plans it calls put in, an order in which
// every step comes after what it waits for, every variable known.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "model/plan_spec.h"
#include "plan/step.h"

namespace salvor::plan {

struct PlanNode {
  StepSpec spec;  // id "outer/inner" for a called plan's step; the call's variables are put in
  const Step* step = nullptr;
  const Step* undo = nullptr;       // of spec.undo
  std::vector<size_t> after = {};   // indices into PlanGraph::nodes, always smaller than its own
  std::vector<size_t> before = {};  // who waits for it, always larger
};

// A value.
struct PlanGraph {
  std::string name;
  std::string summary;
  TextMap parameters;           // with their defaults
  std::vector<PlanNode> nodes;  // in an order in which they may run one after the other
  std::string text;             // canonical text of everything that was resolved
  std::string hash;             // its SHA-256, hexadecimal

  [[nodiscard]] const PlanNode* find(const std::string& id) const;
  // Whether `earlier` always ends before `later` begins.
  [[nodiscard]] bool precedes(size_t earlier, size_t later) const;
  // The outputs of a step that the plan refers to, in other steps or in an undo.
  [[nodiscard]] std::set<std::string> wanted_outputs(const std::string& id) const;
  // Sources that its restores and checks name.
  [[nodiscard]] std::vector<std::string> sources() const;
};

// Null for a plan that there is not.
using FindPlan = std::function<const PlanSpec*(const std::string& name)>;

// Throws Error{kUsage} that lists everything wrong with it, one problem a line: unknown kinds,
// steps, variables; cycles; steps with one id; plans that call plans that call plans.
[[nodiscard]] PlanGraph resolve_plan(const PlanSpec& plan, const FindPlan& find);

// Lines that differ, "-" before what is only in `old_text`, "+" before what is only in `new_text`.
[[nodiscard]] std::vector<std::string> text_difference(const std::string& old_text,
                                                       const std::string& new_text);

}  // namespace salvor::plan
