#include "cli/application/plan_resume.h"

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/plan_end.h"
#include "cli/application/plan_session.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

using plan::PlanGraph;
using plan::PlanNode;
using plan::PlanRun;
using plan::RunEnd;
using plan::StepState;

enum class Purpose : uint8_t { kGoOn, kUndo, kFinish };

bool is_open(const plan::RunState& state) {
  return !state.finished && state.outcome != "succeeded" && state.outcome != "undone";
}

// What was done on another machine, and only there.
std::vector<std::string> left_there(const PlanGraph& graph, const plan::RunState& state,
                                    const std::string& machine) {
  std::vector<std::string> steps;
  for (const PlanNode& node : graph.nodes) {
    const auto it = state.steps.find(node.spec.id);
    if (it != state.steps.end() && it->second.state == StepState::kDone &&
        it->second.machine != machine && node.step->local(node.spec.action.settings)) {
      steps.push_back(node.spec.id);
    }
  }
  return steps;
}

// A run that another machine began, made this one's, as a person agrees. Its id.
std::string take_over(PlanSession& plans, Session& session, const PlanOptions& options,
                      Purpose purpose) {
  std::vector<PlanSession::MirroredRun> found = plans.mirrored_runs(options.run);
  std::erase_if(found, [&](const PlanSession::MirroredRun& one) {
    const auto state = plan::RunState::of(plan::parse_journal(one.run.text, one.run.run));
    return state.facts.mode != "production" || (options.run.empty() && !is_open(state));
  });
  if (found.size() != 1) {
    throw Error(found.empty() ? ErrorCode::kNotFound : ErrorCode::kUsage,
                found.empty() ? "no repository has such a run that could be taken over"
                              : fmt::format("{} runs could be meant", found.size()),
                "`salvor plan runs --from-repository` lists them.");
  }
  const plan::MirroredRun& run = found.front().run;
  const plan::JournalContent content = plan::parse_journal(run.text, run.run);
  const plan::RunState state = plan::RunState::of(content);
  Terminal& terminal = session.terminal;
  const WallTime now = session.context.clock.now();
  terminal.message(fmt::format("run {} of plan {}, begun by {} at {}", short_run_id(run.run),
                               state.facts.plan, printable(state.facts.who),
                               instant_text(state.facts.started, now)));
  terminal.message(
      fmt::format("its last entry in the repository is of {}: what happened there "
                  "afterwards, nobody here knows",
                  instant_text(content.entries.back().time, now)));
  const auto left = left_there(plans.plan(state.facts.plan), state,
                               plans.folder().machine(session.context.random));
  for (const std::string& step : purpose == Purpose::kGoOn ? left : std::vector<std::string>{}) {
    terminal.message(fmt::format(
        "  {} was done on {}, and only there: {}", step, printable(state.steps.at(step).host),
        options.redo_local ? "it is done here again" : "--redo-local does it here again"));
  }
  if (!options.yes) {
    if (!plans.can_ask()) {
      throw Error(ErrorCode::kUsage,
                  "nobody can be asked whether the run is dead over there: two machines must not "
                  "go on with it",
                  "See to it that it is, then take it over with --yes.");
    }
    const std::string typed = plans.read_line("Is it dead over there? Type " +
                                              short_run_id(run.run) + " to take it over: ");
    if (typed != short_run_id(run.run)) {
      throw Error(ErrorCode::kCancelled, "not confirmed: nothing was done");
    }
  }
  plans.folder().adopt(run.run, run.text);
  return run.run;
}

// A run of production taken up again, for `use`.
template <class Use>
int take_up(const PlanOptions& options, Session& session, Purpose purpose, const Use& use) {
  PlanSession plans(session, options.configuration);
  const std::string id = options.from_repository ? take_over(plans, session, options, purpose)
                                                 : plans.folder().find(options.run);
  const plan::RunState known =
      plan::RunState::of(plan::read_journal(plans.folder().journal_of(id)));
  if (known.facts.mode != "production") {
    throw Error(ErrorCode::kUsage, "run " + short_run_id(id) + " was a drill: its sandbox is gone",
                "Run the drill again.");
  }
  if (known.torn) {
    session.terminal.warn("the last line of the run's journal was not finished",
                          "It was never acted upon and is left out.");
  }
  plan::ProductionSite site(plans.stores(), plans.source_names());
  const PlanGraph graph = plans.plan(known.facts.plan);
  const auto mirror = plans.mirror(graph, id);
  plan::RunTools tools = plans.tools(site);
  tools.mirror = mirror.get();
  const auto run =
      PlanRun::resume(session.context, plans.folder(), tools, graph, id, options.accept_changed);
  constexpr auto kClaim = std::chrono::seconds(60);
  if (options.from_repository && (mirror == nullptr || !mirror->settle(kClaim))) {
    throw Error(ErrorCode::kUnreachable,
                "the take-over could not be written into the repository: nothing was done",
                "The other machine would not learn of it. Try again when the repository answers.");
  }
  if (options.redo_local) {
    for (const std::string& step : run->done_elsewhere()) {
      run->decide(step, "redo");
    }
  }
  return use(plans, *run);
}

// Until the new data is proven, the old may be the only good there is.
bool is_proven(const PlanRun& run) {
  return run.state().outcome == "succeeded" || run.state().outcome == "incomplete";
}

void require_proven(const PlanRun& run, const PlanOptions& options) {
  if (is_proven(run) || options.although_failed) {
    return;
  }
  throw Error(
      ErrorCode::kUsage,
      fmt::format("run {} ({}): nothing proves what it restored, so the old data stays",
                  short_run_id(run.id()), run.state().status(false)),
      fmt::format("`salvor plan resume {0}` goes on with it, `salvor plan undo {0}` brings the old "
                  "data back. --although-it-failed discards it all the same.",
                  short_run_id(run.id())));
}

void confirm_finish(PlanSession& plans, const PlanRun& run) {
  if (!plans.can_ask()) {
    throw Error(ErrorCode::kUsage, "nobody can be asked whether the old data may go",
                "Run it with --yes when that is what you want.");
  }
  const std::string typed = plans.read_line(fmt::format(
      "The old data of run {} ({}{}) will be gone for good. Type yes: ", short_run_id(run.id()),
      run.state().status(false), is_proven(run) ? "" : ": nothing proves what it restored"));
  if (typed != "yes") {
    throw Error(ErrorCode::kCancelled, "not confirmed: nothing was done");
  }
}

}  // namespace

int resume_run(const PlanOptions& options, Session& session) {
  return take_up(options, session, Purpose::kGoOn, [&](PlanSession& plans, PlanRun& run) {
    plans.record_before("resumption", run.graph().name, run.id());
    for (const std::string& step : options.redo) {
      run.decide(step, "redo");
    }
    for (const std::string& step : options.skip) {
      run.decide(step, "skip");
    }
    plans.tree().begin(run.graph(), run.state(), run.id());
    const RunEnd end = run.execute();
    return conclude(plans, session, run, end);
  });
}

int undo_run(const PlanOptions& options, Session& session) {
  return take_up(options, session, Purpose::kUndo, [&](PlanSession& plans, PlanRun& run) {
    plans.record_before("undo", run.graph().name, run.id());
    plans.tree().begin(run.graph(), run.state(), run.id());
    const RunEnd end = run.undo(options.leave);
    return conclude(plans, session, run, end);
  });
}

int finish_run(const PlanOptions& options, Session& session) {
  return take_up(options, session, Purpose::kFinish, [&](PlanSession& plans, PlanRun& run) {
    require_proven(run, options);
    if (!options.yes) {
      confirm_finish(plans, run);
    }
    plans.record_before(fmt::format("finish ({}; the old data goes)", run.state().status(false)),
                        run.graph().name, run.id());
    for (const std::string& sentence : run.finish()) {
      session.terminal.message(sentence);
    }
    plans.record_decision("plan", "finished", "finish of plan " + run.graph().name, run.id());
    plans.deliver_records(session.context);
    session.terminal.print_summary("run " + short_run_id(run.id()) +
                                   " is finished, the old data is gone");
    return 0;
  });
}

}  // namespace salvor::cli
