#include "cli/application/plan_forecast.h"

#include <algorithm>

#include "catalog/catalog.h"
#include "plan/scope.h"
#include "protect/forecast.h"
#include "protect/survey.h"

namespace salvor::cli {
namespace {

using plan::PlanGraph;
using plan::PlanNode;
using plan::StepState;

// What earlier runs of the plan needed for each step, the newest that was done.
std::map<std::string, StepForecast> taken(const PlanSession& plans, const std::string& plan) {
  std::map<std::string, StepForecast> steps;
  for (const plan::RunListing& run : plans.folder().list()) {
    if (!run.problem.empty() || run.state.facts.plan != plan) {
      continue;
    }
    for (const auto& [step, record] : run.state.steps) {
      if (record.state == StepState::kDone && record.attempts == 1 &&
          record.ended >= record.began) {
        steps.emplace(
            step, StepForecast{
                      .seconds = std::chrono::duration<double>(record.ended - record.began).count(),
                      .taken = true});
      }
    }
  }
  return steps;
}

// By how long restores of the source took.
std::optional<double> reckoned(const PlanSession& plans, Catalog& catalog,
                               const plan::PinnedPoint& point) {
  constexpr size_t kLookedAt = 100;
  std::vector<RunRecord> runs = catalog.runs({.subject = point.source, .limit = kLookedAt});
  std::erase_if(runs, [&](const RunRecord& run) { return !belongs_to(run, plans.application()); });
  const std::optional<RestoreRates> rates = measure_rates(runs);
  if (!rates) {
    return {};
  }
  const WallTime to =
      point.wanted == WallTime{} ? point.until : std::min(point.wanted, point.until);
  return forecast_recovery(*rates, point.bytes, to - point.captured).seconds;
}

}  // namespace

PlanForecast forecast_plan(const Context& context, const PlanSession& plans, const PlanGraph& graph,
                           plan::Mode mode,
                           const std::map<std::string, plan::PinnedPoint>& points) {
  PlanForecast forecast{.steps = taken(plans, graph.name)};
  Catalog catalog = Catalog::open_or_do_without(context, plans.application().state_directory);
  std::vector<double> end(graph.nodes.size(), 0);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const PlanNode& node = graph.nodes[i];
    const std::string& id = node.spec.id;
    for (const size_t one : node.after) {
      end[i] = std::max(end[i], end[one]);
    }
    if (!skip_reason(node, mode).empty()) {
      continue;
    }
    const auto point = points.find(id);
    if (!forecast.steps.contains(id) && point != points.end()) {
      if (const auto seconds = reckoned(plans, catalog, point->second)) {
        forecast.steps[id] = {.seconds = *seconds, .taken = false};
      }
    }
    const auto known = forecast.steps.find(id);
    if (known == forecast.steps.end()) {
      forecast.unknown.push_back(id);
      continue;
    }
    end[i] += known->second.seconds;
    forecast.seconds = std::max(forecast.seconds.value_or(0), end[i]);
  }
  return forecast;
}

}  // namespace salvor::cli
