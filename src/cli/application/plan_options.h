// What the commands under `plan` can be told.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/application/configuration_access.h"

namespace salvor::cli {

struct PlanOptions {
  ConfigurationOptions configuration;
  std::string plan;
  std::string run;
  std::string step;
  std::vector<std::string> values;
  std::optional<std::string> to;
  std::vector<std::string> redo;
  std::vector<std::string> skip;
  std::vector<std::string> leave;
  std::string as;
  std::string comment;
  bool deny = false;
  bool dry_run = false;
  bool yes = false;
  bool accept_changed = false;
  bool although_failed = false;
  bool from_repository = false;
  bool redo_local = false;
};

// The beginning of a run's id, as people write it.
[[nodiscard]] inline std::string short_run_id(const std::string& id) {
  constexpr size_t kShown = 8;
  return id.substr(0, kShown);
}

}  // namespace salvor::cli
