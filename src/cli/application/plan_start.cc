#include "cli/application/plan_start.h"

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/plan_end.h"
#include "cli/application/plan_session.h"
#include "cli/application/plan_show.h"

namespace salvor::cli {
namespace {

using plan::PlanGraph;
using plan::PlanRun;
using plan::RunEnd;

TextMap plan_parameters(const PlanOptions& options) {
  TextMap values;
  for (const std::string& text : options.values) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ErrorCode::kUsage, "\"" + printable(text) + "\" is no name=value");
    }
    values.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  if (options.to) {
    static_cast<void>(Moment::parse(*options.to));
    values.emplace_back("point", *options.to);
  }
  return values;
}

// A person agrees to what will be destroyed, by the plan's name.
void confirm(PlanSession& plans, Session& session, const PlanOptions& options,
             const PlanGraph& graph, const plan::Preflight& preflight) {
  for (const std::string& one : preflight.destroys) {
    session.terminal.message(printable(one));
  }
  if (options.yes) {
    return;
  }
  if (!plans.can_ask()) {
    throw Error(ErrorCode::kUsage, "nobody can be asked whether plan " + graph.name + " may run",
                "Run it with --yes when that is what you want.");
  }
  const std::string typed =
      plans.read_line("Type the plan's name (" + graph.name + ") to run it on production: ");
  if (typed != graph.name) {
    throw Error(ErrorCode::kCancelled, "not confirmed: nothing was done");
  }
}

}  // namespace

int start_plan(const PlanOptions& options, Session& session) {
  PlanSession plans(session, options.configuration);
  PlanGraph graph = plans.plan(options.plan);
  plan::ProductionSite site(plans.stores(), plans.source_names());
  const std::string id = plan::RunFolder::new_id(session.context.random);
  const plan::Preflight preflight = look_ahead(session.context, graph, site, plans.secrets(),
                                               {.parameters = plan_parameters(options), .run = id});
  for (const std::string& one : preflight.warnings) {
    session.terminal.warn(one);
  }
  if (options.dry_run) {
    return show_dry_run(plans, session, graph, preflight);
  }
  throw_problems(graph, preflight);
  confirm(plans, session, options, graph, preflight);
  plans.record_before("run", graph.name, id);
  const auto mirror = plans.mirror(graph, id);
  plan::RunTools tools = plans.tools(site);
  tools.mirror = mirror.get();
  const auto run =
      PlanRun::start(session.context, plans.folder(), tools, std::move(graph), preflight,
                     {.id = id,
                      .mode = "production",
                      .who = plans.people().who(),
                      .configuration = plans.application().file});
  session.terminal.message(fmt::format("run {} of plan {}", short_run_id(id), run->graph().name));
  plans.tree().begin(run->graph(), run->state(), id);
  const RunEnd end = run->execute();
  return conclude(plans, session, *run, end);
}

}  // namespace salvor::cli
