#include "cli/application/plan_show.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/output/table.h"
#include "plan/default_plan.h"
#include "plan/scope.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

using plan::PlanGraph;
using plan::PlanNode;
using plan::StepState;

// What earlier runs of the plan needed for each step, the newest that was done.
std::map<std::string, double> measured_step_seconds(const PlanSession& plans,
                                                    const std::string& plan) {
  std::map<std::string, double> seconds;
  for (const plan::RunListing& run : plans.folder().list()) {
    if (!run.problem.empty() || run.state.facts.plan != plan) {
      continue;
    }
    for (const auto& [step, record] : run.state.steps) {
      if (record.state == StepState::kDone && record.attempts == 1 &&
          record.ended >= record.began) {
        seconds.emplace(step, std::chrono::duration<double>(record.ended - record.began).count());
      }
    }
  }
  return seconds;
}

// The longest way through the graph, by what was measured; nothing when a step never was.
std::optional<double> forecast(const PlanGraph& graph, const std::map<std::string, double>& seconds,
                               plan::Mode mode) {
  std::vector<double> end(graph.nodes.size(), 0);
  double longest = 0;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const PlanNode& node = graph.nodes[i];
    for (const size_t one : node.after) {
      end[i] = std::max(end[i], end[one]);
    }
    if (skip_reason(node, mode).empty()) {
      const auto it = seconds.find(node.spec.id);
      if (it == seconds.end()) {
        return {};
      }
      end[i] += it->second;
    }
    longest = std::max(longest, end[i]);
  }
  return longest;
}

void print_steps(Session& session, const PlanGraph& graph,
                 const std::map<std::string, double>& seconds, const plan::Preflight* preflight) {
  Terminal& terminal = session.terminal;
  for (const PlanNode& node : graph.nodes) {
    std::string line =
        "  " + node.spec.id + "  " + printable(node.step->describe(node.spec.action.settings));
    std::string after;
    for (const size_t one : node.after) {
      after += (after.empty() ? "" : ", ") + graph.nodes[one].spec.id;
    }
    if (!after.empty()) {
      line += "  (after " + after + ")";
    }
    if (const auto it = seconds.find(node.spec.id); it != seconds.end()) {
      line += fmt::format("  last {:.1f} s", it->second);
    }
    if (node.spec.only != StepScope::kAlways) {
      line += node.spec.only == StepScope::kDrill ? "  only in drills" : "  only in production";
    }
    terminal.print_line(line);
    if (preflight != nullptr) {
      if (const auto it = preflight->points.find(node.spec.id); it != preflight->points.end()) {
        const plan::PinnedPoint& point = it->second;
        terminal.print_line(fmt::format("      from snapshot {} of {}, {} to restore",
                                        point.snapshot.empty() ? "?" : short_run_id(point.snapshot),
                                        instant_text(point.captured, session.context.clock.now()),
                                        format_bytes(point.bytes)));
      }
    }
  }
}

}  // namespace

int list_plans(const PlanOptions& options, Session& session) {
  const PlanSession plans(session, options.configuration);
  Table table;
  table.add_column("Plan");
  table.add_column("Steps", Table::Align::kRight);
  table.add_column("Summary");
  const auto add = [&](const std::string& name, size_t steps, const std::string& summary) {
    if (session.terminal.json()) {
      JsonWriter json;
      json.begin_message("plan")
          .field("name", name)
          .field("steps", steps)
          .field("summary", summary);
      session.terminal.print_json(json.end_object());
    } else {
      table.add_row({name, std::to_string(steps), printable(summary)});
    }
  };
  for (const PlanSpec& one : plans.application().plans) {
    add(one.name, one.steps.size(), one.summary);
  }
  if (find_named(plans.application().plans, plan::kDefaultPlan) == nullptr) {
    const PlanGraph graph = plans.plan(plan::kDefaultPlan);
    add(graph.name, graph.nodes.size(), graph.summary + " (built in)");
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.text());
  }
  return 0;
}

int show_plan(const PlanOptions& options, Session& session) {
  const PlanSession plans(session, options.configuration);
  const PlanGraph graph = plans.plan(options.plan);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("plan_graph").field("name", graph.name).field("hash", graph.hash);
    json.key("steps").begin_array();
    for (const PlanNode& node : graph.nodes) {
      std::vector<std::string> after;
      for (const size_t one : node.after) {
        after.push_back(graph.nodes[one].spec.id);
      }
      json.begin_object().field("id", node.spec.id).field("kind", node.spec.action.kind);
      json.field("does", node.step->describe(node.spec.action.settings)).field("after", after);
      json.end_object();
    }
    session.terminal.print_json(json.end_array().end_object());
    return 0;
  }
  session.terminal.print_line("plan " + graph.name + "  hash " + graph.hash.substr(0, 16));
  for (const auto& [name, value] : graph.parameters) {
    session.terminal.print_line("  parameter " + name + " = " + printable(value));
  }
  print_steps(session, graph, measured_step_seconds(plans, graph.name), nullptr);
  return 0;
}

int show_dry_run(PlanSession& plans, Session& session, const PlanGraph& graph,
                 const plan::Preflight& preflight) {
  const auto seconds = measured_step_seconds(plans, graph.name);
  const auto expected = forecast(graph, seconds, plan::Mode::kProduction);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("plan_dry_run").field("plan", graph.name).field("hash", graph.hash);
    json.field("bytes", preflight.bytes);
    if (expected) {
      json.field("forecast_seconds", *expected);
    }
    json.field("destroys", preflight.destroys).field("problems", preflight.problems);
    json.field("warnings", preflight.warnings);
    session.terminal.print_json(json.end_object());
  } else {
    session.terminal.print_line("plan " + graph.name + ", nothing is done");
    print_steps(session, graph, seconds, &preflight);
    session.terminal.print_line("  to restore: " + format_bytes(preflight.bytes));
    session.terminal.print_line(expected ? fmt::format("  forecast: {:.0f} s", *expected)
                                         : "  forecast: not measured yet");
    for (const std::string& one : preflight.destroys) {
      session.terminal.print_line("  production: " + printable(one));
    }
  }
  throw_problems(graph, preflight);
  return 0;
}

}  // namespace salvor::cli
