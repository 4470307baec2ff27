#include "cli/application/plan_show.h"

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/plan_forecast.h"
#include "cli/output/table.h"
#include "model/duration_text.h"
#include "plan/default_plan.h"
#include "plan/scope.h"
#include "plan/variables.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

using plan::PlanGraph;
using plan::PlanNode;

// What is known of it by now put in.
std::string does(const PlanNode& node, const TextMap& parameters) {
  const Settings settings = plan::substitute(
      node.spec.action.settings, [&](std::string_view name) -> std::optional<std::string> {
        for (const auto& [key, value] : parameters) {
          if (key == name) {
            return value;
          }
        }
        return {};
      });
  return node.step->describe(settings);
}

std::string after_text(const PlanGraph& graph, const PlanNode& node) {
  std::string after;
  for (const size_t one : node.after) {
    after += (after.empty() ? "" : ", ") + graph.nodes[one].spec.id;
  }
  return after;
}

std::string needs_text(const PlanNode& node, const PlanForecast& forecast,
                       const plan::Preflight* ahead) {
  if (node.spec.only == StepScope::kDrill) {
    return "only in drills";
  }
  const auto known = forecast.steps.find(node.spec.id);
  const std::string time = known == forecast.steps.end() ? ""
                           : known->second.taken         ? duration_text(known->second.seconds)
                                                 : "~" + duration_text(known->second.seconds);
  return node.spec.only == StepScope::kProduction && ahead == nullptr
             ? "only in production" + (time.empty() ? "" : ", " + time)
             : time;
}

void print_steps(Session& session, const PlanGraph& graph, const PlanForecast& forecast,
                 const plan::Preflight* ahead) {
  const WallTime now = session.context.clock.now();
  // What a run would do is read from top to bottom; how it hangs together says `plan show`.
  const bool ordered = ahead == nullptr;
  Table table;
  table.add_column("Step");
  table.add_column("What it does");
  if (ordered) {
    table.add_column("After");
  }
  table.add_column("Takes");
  const auto add = [&](std::vector<std::string> cells) {
    if (!ordered) {
      cells.erase(cells.begin() + 2);
    }
    table.add_row(std::move(cells));
  };
  for (const PlanNode& node : graph.nodes) {
    const bool beside = !ordered && !node.spec.group.empty();
    add({(beside ? "| " : "") + node.spec.id,
         printable(ordered ? node.step->describe(node.spec.action.settings)
                           : does(node, ahead->parameters)),
         after_text(graph, node), needs_text(node, forecast, ahead)});
    if (ordered) {
      continue;
    }
    if (const auto it = ahead->points.find(node.spec.id); it != ahead->points.end()) {
      const plan::PinnedPoint& point = it->second;
      add({beside ? "|" : "",
           fmt::format("  from snapshot {} of {}, {}",
                       point.snapshot.empty() ? "?" : short_run_id(point.snapshot),
                       instant_text(point.captured, now), format_bytes(point.bytes)),
           "", ""});
    }
  }
  session.terminal.print(table.text());
}

// "about 12 s, not counting migrate, of which nothing was measured"
std::string forecast_text(const PlanForecast& forecast) {
  if (!forecast.seconds) {
    return "not measured yet; `salvor drill run` measures it";
  }
  std::string text = "about " + duration_text(*forecast.seconds);
  for (size_t i = 0; i < forecast.unknown.size(); ++i) {
    text += (i == 0 ? ", not counting " : ", ") + forecast.unknown[i];
  }
  return text + (forecast.unknown.empty() ? "" : " (never measured)");
}

void print_dry_run_json(Session& session, const PlanGraph& graph, const PlanForecast& forecast,
                        const plan::Preflight& ahead) {
  JsonWriter json;
  json.begin_message("plan_dry_run").field("plan", graph.name).field("hash", graph.hash);
  json.field("bytes", ahead.bytes);
  if (forecast.seconds) {
    json.field("forecast_seconds", *forecast.seconds);
  }
  json.field("never_measured", forecast.unknown);
  json.field("destroys", ahead.destroys).field("problems", ahead.problems);
  json.field("warnings", ahead.warnings).key("steps").begin_array();
  for (const PlanNode& node : graph.nodes) {
    std::vector<std::string> after;
    for (const size_t one : node.after) {
      after.push_back(graph.nodes[one].spec.id);
    }
    json.begin_object().field("id", node.spec.id).field("kind", node.spec.action.kind);
    json.field("does", does(node, ahead.parameters)).field("after", after);
    json.field("skipped", skip_reason(node, plan::Mode::kProduction));
    if (const auto it = forecast.steps.find(node.spec.id); it != forecast.steps.end()) {
      json.field("forecast_seconds", it->second.seconds);
    }
    if (const auto it = ahead.points.find(node.spec.id); it != ahead.points.end()) {
      json.field("snapshot", it->second.snapshot).field("bytes", it->second.bytes);
    }
    json.end_object();
  }
  session.terminal.print_json(json.end_array().end_object());
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
  print_steps(session, graph,
              forecast_plan(session.context, plans, graph, plan::Mode::kProduction, {}), nullptr);
  return 0;
}

int show_dry_run(PlanSession& plans, Session& session, const PlanGraph& graph,
                 const plan::Preflight& preflight) {
  const PlanForecast forecast =
      forecast_plan(session.context, plans, graph, plan::Mode::kProduction, preflight.points);
  if (session.terminal.json()) {
    print_dry_run_json(session, graph, forecast, preflight);
  } else {
    session.terminal.print_line("plan " + graph.name + ": what a run would do; nothing is done");
    print_steps(session, graph, forecast, &preflight);
    session.terminal.print_line("to restore: " + format_bytes(preflight.bytes));
    session.terminal.print_line("forecast: " + forecast_text(forecast));
    if (!preflight.destroys.empty()) {
      session.terminal.print_line("what it replaces:");
    }
    for (const std::string& one : preflight.destroys) {
      session.terminal.print_line("  " + printable(one));
    }
  }
  throw_problems(graph, preflight);
  return 0;
}

}  // namespace salvor::cli
