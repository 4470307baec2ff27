#include "cli/application/plan_end.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/application/plan_options.h"
#include "plan/plan_text.h"

namespace salvor::cli {
namespace {

using plan::PlanRun;
using plan::RunEnd;
using plan::StepState;

int status_of(RunEnd end) {
  switch (end) {
    case RunEnd::kSucceeded:
      return 0;
    case RunEnd::kIncomplete:
      return exit_status(ErrorCode::kIncomplete);
    case RunEnd::kInterrupted:
      return exit_status(ErrorCode::kCancelled);
    default:
      return exit_status(ErrorCode::kFailed);
  }
}

RunRecord record_of(const PlanRun& run, RunEnd end, const PlanSession& plans, WallTime finished) {
  const plan::RunState& state = run.state();
  // A run that is resumed or taken back comes to an end more than once, each with its record.
  RunRecord record{.id = plan::text_hash(state.facts.id + std::to_string(state.entries))
                             .substr(0, state.facts.id.size()),
                   .kind = RunKind::kPlan,
                   .outcome = end == RunEnd::kSucceeded     ? RunOutcome::kSucceeded
                              : end == RunEnd::kIncomplete  ? RunOutcome::kIncomplete
                              : end == RunEnd::kInterrupted ? RunOutcome::kInterrupted
                                                            : RunOutcome::kFailed,
                   .subject = state.facts.plan,
                   .started = std::min(state.facts.started, finished),
                   .finished = finished,
                   .error = run.error(),
                   .hint = run.hint(),
                   .who = state.facts.who,
                   .plan_hash = state.facts.hash,
                   .facts = {{"run", state.facts.id}, {"end", std::string(plan::name_of(end))}}};
  for (const auto& [step, step_record] : state.steps) {
    record.checks.insert(record.checks.end(), step_record.result.checks.begin(),
                         step_record.result.checks.end());
  }
  for (const auto& [step, point] : state.points) {
    record.read_bytes += point.bytes;
    if (const SourceSpec* source = find_named(plans.application().sources, point.source)) {
      record.repository = source->repository;
    }
  }
  if (end == RunEnd::kSucceeded && finished >= state.facts.started) {
    record.rto_seconds = std::chrono::duration<double>(finished - state.facts.started).count();
  }
  return record;
}

}  // namespace

int conclude(PlanSession& plans, Session& session, const PlanRun& run, RunEnd end) {
  plans.tree().close();
  const std::string id = short_run_id(run.id());
  const WallTime finished = session.context.clock.now();
  // A clock that was set back in between measures nothing.
  const double seconds =
      std::max(0.0, std::chrono::duration<double>(finished - run.state().facts.started).count());
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("plan_end").field("run", run.id()).field("plan", run.graph().name);
    json.field("outcome", std::string(plan::name_of(end))).field("seconds", seconds);
    session.terminal.print_json(json.field("error", run.error()).end_object());
  } else if (end == RunEnd::kSucceeded || end == RunEnd::kIncomplete || end == RunEnd::kUndone) {
    session.terminal.print_summary(fmt::format("run {} of plan {}: {} in {:.1f} s", id,
                                               run.graph().name, plan::name_of(end), seconds));
    if (run.state().keeps_old_data()) {
      session.terminal.print_summary(
          fmt::format("the old data is kept: `salvor plan undo {0}` brings it back, `salvor plan "
                      "finish {0}` discards it",
                      id));
    }
  }
  plans.write_down(session.context.with_stop({}), record_of(run, end, plans, finished));
  if (end == RunEnd::kSucceeded || (end == RunEnd::kUndone && run.error().empty())) {
    return 0;
  }
  if (end == RunEnd::kIncomplete) {
    return status_of(end);
  }
  const ErrorCode code = end == RunEnd::kInterrupted && session.context.stop.stop_requested()
                             ? ErrorCode::kCancelled
                             : ErrorCode::kFailed;
  const std::string next =
      fmt::format("`salvor plan resume {0}` goes on, `salvor plan undo {0}` takes it back.", id);
  throw Error(code,
              fmt::format("run {} of plan {} {}: {}", id, run.graph().name, plan::name_of(end),
                          run.error()),
              run.hint().find("salvor plan") != std::string::npos || end == RunEnd::kUndone
                  ? run.hint()
                  : run.hint() + (run.hint().empty() ? "" : " ") + next);
}

}  // namespace salvor::cli
