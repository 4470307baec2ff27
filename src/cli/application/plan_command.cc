// plan: recovery procedures as code, run, resumed, taken back.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/plan_session.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "plan/default_plan.h"
#include "plan/plan_text.h"
#include "plan/scope.h"
#include "protect/time_text.h"

namespace salvor::cli {
namespace {

using plan::PlanGraph;
using plan::PlanNode;
using plan::PlanRun;
using plan::RunEnd;
using plan::StepState;

struct Options {
  ConfigurationOptions configuration;
  std::string plan;
  std::string run;
  std::string step;
  std::vector<std::string> values;
  std::optional<std::string> to;
  std::vector<std::string> redo;
  std::vector<std::string> skip;
  std::string as;
  std::string comment;
  bool deny = false;
  bool dry_run = false;
  bool yes = false;
  bool accept_changed = false;
  bool from_repository = false;
  bool redo_local = false;
};

const std::vector<ExitCodeNote> kPlanExitCodes =
    with_exit_codes(kRepositoryExitCodes, {{0, "success: every step was done"},
                                           {1, "a step failed, or would: nothing more was begun"},
                                           {3, "done, but steps failed that were allowed to"},
                                           {11, "the plan is running already"},
                                           {64, "wrong usage, or a plan that cannot run"},
                                           {130, "interrupted: `salvor plan resume` goes on"}});

std::string short_id(const std::string& id) {
  constexpr size_t kShown = 8;
  return id.substr(0, kShown);
}

TextMap parameters_of(const Options& options) {
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

// What earlier runs of the plan needed for each step, the newest that was done.
std::map<std::string, double> measured_seconds(const PlanSession& plans, const std::string& plan) {
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
                                        point.snapshot.empty() ? "?" : short_id(point.snapshot),
                                        instant_text(point.captured, session.context.clock.now()),
                                        format_bytes(point.bytes)));
      }
    }
  }
}

int run_list(const Options& options, Session& session) {
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

int run_show(const Options& options, Session& session) {
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
  print_steps(session, graph, measured_seconds(plans, graph.name), nullptr);
  return 0;
}

int dry_run(PlanSession& plans, Session& session, const PlanGraph& graph,
            const plan::Preflight& preflight) {
  const auto seconds = measured_seconds(plans, graph.name);
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

// A person agrees to what will be destroyed, by the plan's name.
void confirm(PlanSession& plans, Session& session, const Options& options, const PlanGraph& graph,
             const plan::Preflight& preflight) {
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

// The tree as it ended, what is to be known, the record.
int conclude(PlanSession& plans, Session& session, const PlanRun& run, RunEnd end) {
  plans.tree().close();
  const std::string id = short_id(run.id());
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
    bool kept = false;
    for (const auto& [step, record] : run.state().steps) {
      for (const auto& [name, value] : record.result.outputs) {
        kept = kept || (name == "old-data" && !value.empty() && record.state == StepState::kDone);
      }
    }
    if (kept) {
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

int run_run(const Options& options, Session& session) {
  PlanSession plans(session, options.configuration);
  PlanGraph graph = plans.plan(options.plan);
  plan::ProductionSite site(plans.stores(), plans.source_names());
  const std::string id = plan::RunFolder::new_id(session.context.random);
  const plan::Preflight preflight = look_ahead(session.context, graph, site, plans.secrets(),
                                               {.parameters = parameters_of(options), .run = id});
  for (const std::string& one : preflight.warnings) {
    session.terminal.warn(one);
  }
  if (options.dry_run) {
    return dry_run(plans, session, graph, preflight);
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
  session.terminal.message(fmt::format("run {} of plan {}", short_id(id), run->graph().name));
  plans.tree().begin(run->graph(), run->state(), id);
  const RunEnd end = run->execute();
  return conclude(plans, session, *run, end);
}

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
std::string take_over(PlanSession& plans, Session& session, const Options& options) {
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
  terminal.message(fmt::format("run {} of plan {}, begun by {} at {}", short_id(run.run),
                               state.facts.plan, printable(state.facts.who),
                               instant_text(state.facts.started, now)));
  terminal.message(
      fmt::format("its last entry in the repository is of {}: what happened there "
                  "afterwards, nobody here knows",
                  instant_text(content.entries.back().time, now)));
  const auto left = left_there(plans.plan(state.facts.plan), state,
                               plans.folder().machine(session.context.random));
  for (const std::string& step : left) {
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
    const std::string typed =
        plans.read_line("Is it dead over there? Type " + short_id(run.run) + " to take it over: ");
    if (typed != short_id(run.run)) {
      throw Error(ErrorCode::kCancelled, "not confirmed: nothing was done");
    }
  }
  plans.folder().adopt(run.run, run.text);
  return run.run;
}

// A run of production taken up again, for `use`.
template <class Use>
int take_up(const Options& options, Session& session, const Use& use) {
  PlanSession plans(session, options.configuration);
  const std::string id = options.from_repository ? take_over(plans, session, options)
                                                 : plans.folder().find(options.run);
  const plan::RunState known =
      plan::RunState::of(plan::read_journal(plans.folder().journal_of(id)));
  if (known.facts.mode != "production") {
    throw Error(ErrorCode::kUsage, "run " + short_id(id) + " was a drill: its sandbox is gone",
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

int run_resume(const Options& options, Session& session) {
  return take_up(options, session, [&](PlanSession& plans, PlanRun& run) {
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

int run_undo(const Options& options, Session& session) {
  return take_up(options, session, [&](PlanSession& plans, PlanRun& run) {
    plans.record_before("undo", run.graph().name, run.id());
    plans.tree().begin(run.graph(), run.state(), run.id());
    const RunEnd end = run.undo();
    return conclude(plans, session, run, end);
  });
}

int run_finish(const Options& options, Session& session) {
  return take_up(options, session, [&](PlanSession& plans, PlanRun& run) {
    if (!options.yes) {
      if (!plans.can_ask()) {
        throw Error(ErrorCode::kUsage, "nobody can be asked whether the old data may go",
                    "Run it with --yes when that is what you want.");
      }
      const std::string typed = plans.read_line("The old data of run " + short_id(run.id()) +
                                                " will be gone for good. Type yes: ");
      if (typed != "yes") {
        throw Error(ErrorCode::kCancelled, "not confirmed: nothing was done");
      }
    }
    plans.record_before("finish (the old data goes)", run.graph().name, run.id());
    run.finish();
    plans.record_decision("plan", "finished", "finish of plan " + run.graph().name, run.id());
    plans.deliver_records(session.context);
    session.terminal.print_summary("run " + short_id(run.id()) +
                                   " is finished, the old data is gone");
    return 0;
  });
}

int run_approve(const Options& options, Session& session) {
  PlanSession plans(session, options.configuration);
  const std::string id = plans.folder().find(options.run);
  const plan::RunState known =
      plan::RunState::of(plan::read_journal(plans.folder().journal_of(id)));
  const PlanGraph graph = plans.plan(known.facts.plan);
  const PlanNode* node = graph.find(options.step);
  const bool asks =
      node != nullptr && (node->spec.approval.has_value() || node->spec.action.kind == "approve");
  if (!asks) {
    throw Error(ErrorCode::kUsage, "step " + printable(options.step) + " waits for nobody",
                "`salvor plan show " + graph.name + "` lists the steps.");
  }
  const std::vector<std::string> by =
      node->spec.approval ? node->spec.approval->by : node->spec.action.settings.list("by");
  const bool may = by.empty() || std::find(by.begin(), by.end(), options.as) != by.end();
  if (!may) {
    std::string names;
    for (const std::string& one : by) {
      names += (names.empty() ? "" : ", ") + one;
    }
    throw Error(ErrorCode::kPermission,
                options.as.empty() ? "who approves this must be named"
                                   : printable(options.as) + " may not approve this",
                "It is for " + names + ": --as NAME.");
  }
  const std::string who = options.as.empty() ? who_text() : options.as + " (" + who_text() + ")";
  plans.folder().leave_approval(id, options.step,
                                {.granted = !options.deny, .by = who, .comment = options.comment});
  plans.record_decision("approval", options.deny ? "denied" : "granted",
                        "step " + options.step + " of plan " + graph.name + " by " + who +
                            (options.comment.empty() ? "" : ": " + options.comment),
                        id);
  plans.deliver_records(session.context);
  session.terminal.print_summary(fmt::format(
      "{} {} of run {}", options.deny ? "denied" : "approved", options.step, short_id(id)));
  return 0;
}

// What the repositories know: also of runs of other machines.
int run_mirrored(PlanSession& plans, Session& session) {
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
    table.add_row({short_id(one.run.run), state.facts.plan, instant_text(state.facts.started, now),
                   status, instant_text(last, now), state.facts.who, one.repository});
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.text());
  }
  return 0;
}

int run_runs(const Options& options, Session& session) {
  PlanSession plans(session, options.configuration);
  if (options.from_repository) {
    return run_mirrored(plans, session);
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
        {short_id(run.id), state.facts.plan, state.facts.mode,
         instant_text(state.facts.started, session.context.clock.now()), state.status(run.running),
         std::to_string(done) + "/" + std::to_string(state.steps.size()), state.facts.who});
  }
  if (!session.terminal.json()) {
    session.terminal.print(table.text());
  }
  return 0;
}

using Shared = std::shared_ptr<Options>;

CommandSpec sub(const Shared& options, std::string name, std::string summary,
                int (*run)(const Options&, Session&)) {
  CommandSpec command{.name = std::move(name),
                      .summary = std::move(summary),
                      .options = configuration_option_table(options->configuration),
                      .exit_codes = kPlanExitCodes,
                      .run = [options, run](Session& session) { return run(*options, session); }};
  return command;
}

PositionalSpec plan_positional(const Shared& options) {
  return {.name = "plan",
          .target = &options->plan,
          .help = "name of the plan; by default the only one"};
}
PositionalSpec run_positional(const Shared& options, size_t minimum = 0) {
  return {.name = "run",
          .target = &options->run,
          .help = "beginning of the run's id; by default the one that is not over",
          .minimum = minimum};
}
OptionSpec yes_option(const Shared& options) {
  return {.long_name = "yes", .help = "do not ask", .target = &options->yes};
}
OptionSpec from_repository_option(const Shared& options, std::string help) {
  return {
      .long_name = "from-repository", .help = std::move(help), .target = &options->from_repository};
}
OptionSpec accept_option(const Shared& options) {
  return {.long_name = "accept-changed-plan",
          .help = "go on with the plan as it is now, although the run began with another",
          .target = &options->accept_changed};
}

CommandSpec run_spec() {
  const auto options = std::make_shared<Options>();
  CommandSpec command = sub(options, "run", "Run a recovery plan on production", run_run);
  command.description =
      "Looks at everything first (keys, storage, space, points, targets, programs) and reports all "
      "problems at once. Shows what will be destroyed and asks for the plan's name. Old data is "
      "kept until `salvor plan finish`; `salvor plan undo` brings it back.\n\nEvery transition is "
      "in a journal on disk before it is acted upon: after a crash `salvor plan resume` goes on.";
  command.positionals = {plan_positional(options),
                         {.name = "name=value",
                          .target = &options->values,
                          .help = "values for the plan's parameters",
                          .maximum = kUnlimited}};
  command.options.push_back({.long_name = "to",
                             .value_name = "moment",
                             .help = "the parameter `point`: to which moment",
                             .target = &options->to});
  command.options.push_back({.long_name = "dry-run",
                             .short_name = 'n',
                             .help = "only look ahead: the graph, bytes, how long it may take",
                             .target = &options->dry_run});
  command.options.push_back(yes_option(options));
  command.examples = {{"salvor plan run recover --to '2026-11-21 12:00:00 UTC'",
                       "Bring the application back to a second before the accident"},
                      {"salvor plan run recover --dry-run", "See what it would do"}};
  return command;
}

CommandSpec resume_spec() {
  const auto options = std::make_shared<Options>();
  CommandSpec command =
      sub(options, "resume", "Go on with an interrupted or failed run", run_resume);
  command.description =
      "Looks at the real state of each step that was interrupted and continues, skips or does it "
      "again. Where nobody can know (a command that was cut off), it asks, or stops and wants "
      "--redo or --skip.";
  command.positionals = {run_positional(options)};
  command.options.push_back({.long_name = "redo",
                             .value_name = "step",
                             .help = "this interrupted step may be done again",
                             .target = &options->redo});
  command.options.push_back({.long_name = "skip",
                             .value_name = "step",
                             .help = "this step is done",
                             .target = &options->skip});
  command.options.push_back(accept_option(options));
  command.options.push_back(from_repository_option(
      options, "take over a run that another machine began and cannot go on with"));
  command.options.push_back({.long_name = "redo-local",
                             .help =
                                 "with it: what was done over there and stayed there (restores, "
                                 "commands without a host) is done here again",
                             .target = &options->redo_local});
  command.options.push_back(yes_option(options));
  return command;
}

CommandSpec approve_spec() {
  const auto options = std::make_shared<Options>();
  CommandSpec command =
      sub(options, "approve", "Answer the approval that a run waits for", run_approve);
  command.positionals = {
      run_positional(options, 1),
      {.name = "step", .target = &options->step, .help = "the step that waits", .minimum = 1}};
  command.options.push_back({.long_name = "as",
                             .value_name = "name",
                             .help = "who approves, where the plan names people",
                             .target = &options->as});
  command.options.push_back({.long_name = "comment",
                             .value_name = "text",
                             .help = "kept in the run's journal",
                             .target = &options->comment});
  command.options.push_back(
      {.long_name = "deny", .help = "do not approve", .target = &options->deny});
  return command;
}

}  // namespace

CommandSpec plan_command() {
  CommandSpec group{.name = "plan",
                    .summary = "Recovery plans: run, resume, take back",
                    .description =
                        "Recovery procedures as code, from the configuration file. "
                        "Without any in it, the plan `recover` brings every source "
                        "back."};
  const auto list = std::make_shared<Options>();
  group.commands.push_back(sub(list, "list", "List the plans", run_list));
  const auto show = std::make_shared<Options>();
  group.commands.push_back(sub(show, "show", "Show a plan's steps in their order", run_show));
  group.commands.back().positionals = {plan_positional(show)};
  group.commands.push_back(run_spec());
  group.commands.push_back(resume_spec());
  const auto undo = std::make_shared<Options>();
  group.commands.push_back(
      sub(undo, "undo", "Take a run back, last step first: the old data returns", run_undo));
  group.commands.back().positionals = {run_positional(undo)};
  group.commands.back().options.push_back(accept_option(undo));
  const auto finish = std::make_shared<Options>();
  group.commands.push_back(
      sub(finish, "finish", "Accept a run: the old data is discarded", run_finish));
  group.commands.back().positionals = {run_positional(finish, 1)};
  group.commands.back().options.push_back(yes_option(finish));
  group.commands.back().options.push_back(accept_option(finish));
  group.commands.push_back(approve_spec());
  const auto runs = std::make_shared<Options>();
  group.commands.push_back(sub(runs, "runs", "List runs of plans and drills", run_runs));
  group.commands.back().options.push_back(
      from_repository_option(runs, "those that repositories know, of all machines"));
  return group;
}

}  // namespace salvor::cli
