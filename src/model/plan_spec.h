// A recovery plan as it was written: values. `config` reads them, `plan` runs them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "model/settings.h"

namespace salvor {

enum class OnFailure : uint8_t {
  kStop,      // nothing more is begun; what runs beside it may finish
  kContinue,  // the failure is reported, what comes after runs
  kUndo,      // stop, then undo what was done, last first
};

enum class StepScope : uint8_t { kAlways, kDrill, kProduction };

// What a step does, or what undoes it: a kind with its settings.
struct ActionSpec {
  std::string kind;   // "restore", "command", "sql", "http", ...
  Settings settings;  // against the kind's field table
  friend bool operator==(const ActionSpec&, const ActionSpec&) = default;
};

struct ApprovalSpec {
  std::string question;              // what is asked
  std::vector<std::string> by = {};  // contacts who may answer; empty: whoever runs the plan
};

struct StepSpec {
  std::string id;     // unique in the plan; made from the kind and place when not given
  std::string title;  // what a person reads
  ActionSpec action;
  std::vector<std::string> after;  // ids; the whole graph, order and `together` resolved into it
  std::string group;               // id of the `together` block it stands in; for display
  std::chrono::seconds timeout{3600};
  unsigned retries = 0;
  std::chrono::seconds retry_delay{5};
  OnFailure on_failure = OnFailure::kStop;
  StepScope only = StepScope::kAlways;
  std::optional<ActionSpec> undo;
  std::optional<ApprovalSpec> approval;
};

// Texts in settings may hold "${name}": a parameter, "${target.url}" and the like (what the target
// offers), or an earlier step's output, "${step-id.output}".
struct PlanSpec {
  std::string name;
  std::string summary;
  TextMap parameters;  // with their defaults
  std::vector<StepSpec> steps;
  std::string source_text;  // canonical form of what was written: what the plan's hash is made of
};

}  // namespace salvor
