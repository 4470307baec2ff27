#include "cli/application/plan_runs.h"

#include <algorithm>

#include "cli/application/plan_session.h"
#include "cli/output/table.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

using plan::StepState;

// What the repositories know: also of runs of other machines.
int list_mirrored_runs(PlanSession& plans, Session& session) {
  Table table;
  for (const char* name : {"Run", "Plan", "Started", "State", "Last entry", "Who", "Repository"}) {
    table.add_column(name);
  }
  const WallTime now = session.context.clock.now();
  for (const PlanSession::MirroredRun& one : plans.mirrored_runs("")) {
    const plan::JournalContent content = plan::parse_journal(one.run.text, one.run.run);
    const plan::RunState state = plan::RunState::of(content);
    const WallTime last = content.entries.back().time;
    const std::string status =
        state.status(false) == "interrupted" ? "not ended" : state.status(false);
    if (session.terminal.json()) {
      JsonWriter json;
      json.begin_message("plan_run").field("run", one.run.run).field("plan", state.facts.plan);
      json.field("mode", state.facts.mode).field("started", plan::time_text(state.facts.started));
      json.field("state", status).field("who", state.facts.who).field("error", state.error);
      json.field("last_entry", plan::time_text(last)).field("repository", one.repository);
      session.terminal.print_json(json.end_object());
      continue;
    }
    table.add_row({short_run_id(one.run.run), state.facts.plan,
                   instant_text(state.facts.started, now), status, instant_text(last, now),
                   state.facts.who, one.repository});
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.text());
  }
  return 0;
}

}  // namespace

int list_plan_runs(const PlanOptions& options, Session& session) {
  PlanSession plans(session, options.configuration);
  if (options.from_repository) {
    return list_mirrored_runs(plans, session);
  }
  Table table;
  for (const char* name : {"Run", "Plan", "Mode", "Started", "State", "Steps", "Who"}) {
    table.add_column(name);
  }
  for (const plan::RunListing& run : plans.folder().list()) {
    if (!run.problem.empty()) {
      session.terminal.warn(run.problem);
      continue;
    }
    const plan::RunState& state = run.state;
    const auto done = std::count_if(state.steps.begin(), state.steps.end(), [](const auto& one) {
      return one.second.state == StepState::kDone || one.second.state == StepState::kSkipped;
    });
    if (session.terminal.json()) {
      JsonWriter json;
      json.begin_message("plan_run").field("run", run.id).field("plan", state.facts.plan);
      json.field("mode", state.facts.mode).field("started", plan::time_text(state.facts.started));
      json.field("state", state.status(run.running)).field("who", state.facts.who);
      session.terminal.print_json(json.field("error", state.error).end_object());
      continue;
    }
    table.add_row(
        {short_run_id(run.id), state.facts.plan, state.facts.mode,
         instant_text(state.facts.started, session.context.clock.now()), state.status(run.running),
         std::to_string(done) + "/" + std::to_string(state.steps.size()), state.facts.who});
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.text());
  }
  return 0;
}
}  // namespace salvor::cli
