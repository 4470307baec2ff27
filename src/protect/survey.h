// Reads from repositories and catalog what `assess_status` judges. What is found is kept in the
// catalog, so that a repository that cannot be reached later leaves the last known state.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "engine/store.h"
#include "protect/status.h"
#include "repo/repository.h"

namespace salvor {

// Opens a repository of the configuration by name, without a lock, and calls back with it. Throws
// Error.
using WithRepository = std::function<void(
    const Context& context, const std::string& name,
    const std::function<void(const Context& context, Repository& repository)>& body)>;

// `with_repository` and `stores` are called on several threads at once; `catalog` is not.
struct SurveyRequest {
  const Application& application;
  Stores& stores;
  WithRepository with_repository;
  Catalog& catalog;
  std::string host;  // this machine's name: what is elsewhere is off-site
  // A repository that has not answered by then counts as one that cannot be reached.
  std::chrono::seconds patience{60};
  bool offline = false;  // only what the catalog knows
};

struct Survey {
  std::map<std::string, SourceFacts> facts;
  std::vector<RunRecord> drills;  // their own records, that name the sources which were restored
};

// Throws Error{kCancelled} when the context is stopped; what else fails is in the facts, and
// trouble with the catalog a warning.
[[nodiscard]] Survey survey(const Context& context, const SurveyRequest& request);

// The runs of the application's sources: those of another application that shares a repository say
// so ("application" among their facts).
[[nodiscard]] bool belongs_to(const RunRecord& run, const Application& application);

}  // namespace salvor
