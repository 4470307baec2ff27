#include "plan/plan_run.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "plan/failed_checks.h"
#include "plan/kept_result.h"
#include "plan/scope.h"

namespace salvor::plan {
namespace {

constexpr std::array<std::string_view, 6> kEnds{"succeeded", "incomplete",  "failed",
                                                "undone",    "undo failed", "interrupted"};

}  // namespace

struct PlanRun::Running {
  std::stop_source stop;                  // of the attempt; replaced under mutex_
  std::optional<MonotonicTime> deadline;  // under mutex_; none while it waits for the next attempt
  bool timed_out = false;                 // under mutex_
  std::string last_said;                  // under mutex_
  std::jthread thread;                    // joined by whoever takes it out
  bool ended = false;                     // under mutex_
};

std::string_view name_of(RunEnd end) {
  return kEnds.at(static_cast<size_t>(end));
}

PlanRun::PlanRun(const Context& context, const RunFolder& folder, const RunTools& tools,
                 PlanGraph graph, std::string id)
    : context_(context),
      folder_(folder),
      tools_(tools),
      graph_(std::move(graph)),
      id_(std::move(id)),
      plan_lock_(folder.lock_plan(graph_.name, tools.site.mode())),
      boot_(boot_id()),
      machine_(folder.machine(context.random)) {
  static_cast<void>(folder_.make(id_));
  run_lock_ = folder_.lock_run(id_);
}

PlanRun::~PlanRun() = default;

std::unique_ptr<PlanRun> PlanRun::start(const Context& context, const RunFolder& folder,
                                        const RunTools& tools, PlanGraph graph,
                                        const Preflight& preflight, RunFacts facts) {
  std::unique_ptr<PlanRun> run(new PlanRun(context, folder, tools, std::move(graph), facts.id));
  run->journal_ =
      std::make_unique<RunJournal>(folder.journal_of(facts.id), context.clock, JournalContent{});
  run->attach();
  facts.plan = run->graph_.name;
  facts.hash = run->graph_.hash;
  facts.text = run->graph_.text;
  facts.parameters = preflight.parameters;
  run->record(run_entry(facts));
  for (const auto& [step, point] : preflight.points) {
    run->record(point_entry(step, point));
  }
  return run;
}

std::unique_ptr<PlanRun> PlanRun::resume(const Context& context, const RunFolder& folder,
                                         const RunTools& tools, PlanGraph graph,
                                         const std::string& id, bool accept_changed) {
  std::unique_ptr<PlanRun> run(new PlanRun(context, folder, tools, std::move(graph), id));
  const JournalContent content = read_journal(folder.journal_of(id));
  if (content.entries.empty()) {
    throw Error(ErrorCode::kNotFound, "run " + id.substr(0, 8) + " died before it had begun",
                "Run the plan again.");
  }
  run->state_ = RunState::of(content);
  if (run->state_.finished) {
    throw Error(ErrorCode::kUsage, "run " + id.substr(0, 8) + " is finished: its old data is gone");
  }
  const bool changed = run->state_.facts.hash != run->graph_.hash;
  if (changed && !accept_changed) {
    std::string text = "plan " + printable(run->graph_.name) + " is not the one that run " +
                       id.substr(0, 8) + " began with:";
    for (const std::string& line : text_difference(run->state_.facts.text, run->graph_.text)) {
      text += "\n  " + printable(line);
    }
    throw Error(ErrorCode::kUsage, text,
                "Put the plan back as it was, or go on with the new one: --accept-changed-plan "
                "(steps that are done stay done).");
  }
  run->journal_ = std::make_unique<RunJournal>(folder.journal_of(id), context.clock, content);
  run->attach();
  JournalEntry entry{.type = "resume",
                     .values = {{"who", tools.people.who()}, {"machine", run->machine_}}};
  if (changed) {
    entry.values.emplace_back("hash", run->graph_.hash);
    entry.values.emplace_back("text", run->graph_.text);
  }
  run->record(std::move(entry));
  if (tools.mirror != nullptr) {
    constexpr auto kClaim = std::chrono::seconds(10);
    static_cast<void>(tools.mirror->settle(kClaim));
    if (const std::string lost = tools.mirror->lost(); !lost.empty()) {
      throw Error(ErrorCode::kLocked, "run " + id.substr(0, 8) + ": " + lost,
                  "It goes on there. `salvor plan runs --from-repository` shows how far it is; "
                  "--from-repository takes it over from there.");
    }
  }
  return run;
}

bool PlanRun::taken_over() const {
  return tools_.mirror != nullptr && !tools_.mirror->lost().empty();
}

void PlanRun::attach() {
  journal_->on_append(tools_.on_append);
  if (tools_.mirror != nullptr) {
    journal_->on_line([mirror = tools_.mirror](std::string_view line) { mirror->add(line); });
  }
}

std::vector<std::string> PlanRun::done_elsewhere() const {
  std::vector<std::string> steps;
  for (const PlanNode& node : graph_.nodes) {
    const StepRecord record = record_of(node.spec.id);
    if (record.state == StepState::kDone && !record.machine.empty() && record.machine != machine_ &&
        node.step->local(node.spec.action.settings)) {
      steps.push_back(node.spec.id);
    }
  }
  return steps;
}

void PlanRun::record(JournalEntry entry) {
  const JournalEntry written = journal_->append(std::move(entry));
  const std::scoped_lock lock(mutex_);
  state_.apply(written);
}

void PlanRun::show(const std::string& step, StepState state, std::string text, std::string hint) {
  const StepRecord record = record_of(step);
  tools_.observer.on({.kind = RunEvent::kStep,
                      .step = step,
                      .state = state,
                      .text = std::move(text),
                      .hint = std::move(hint),
                      .attempt = record.attempts});
}

StepRecord PlanRun::record_of(const std::string& step) const {
  const std::scoped_lock lock(mutex_);
  const auto it = state_.steps.find(step);
  return it == state_.steps.end() ? StepRecord{} : it->second;
}

void PlanRun::decide(const std::string& step, const std::string& what) {
  if (graph_.find(step) == nullptr) {
    throw Error(ErrorCode::kUsage, "the plan has no step " + printable(step));
  }
  const StepState state = record_of(step).state;
  const std::vector<std::string> elsewhere = done_elsewhere();
  const bool again =
      what == "redo" && std::find(elsewhere.begin(), elsewhere.end(), step) != elsewhere.end();
  if (state != StepState::kBegun && state != StepState::kFailed && !again) {
    throw Error(ErrorCode::kUsage, "step " + printable(step) + " is " +
                                       std::string(name_of(state)) +
                                       ", there is nothing to decide");
  }
  record(
      {.type = "decided", .step = step, .values = {{"by", tools_.people.who()}, {"what", what}}});
}

// --- the loop

bool PlanRun::settled(const PlanNode& node) const {
  const auto it = state_.steps.find(node.spec.id);
  if (it == state_.steps.end()) {
    return false;
  }
  switch (it->second.state) {
    case StepState::kDone:
    case StepState::kSkipped:
      return true;
    case StepState::kFailed:
      return it->second.exhausted && node.spec.on_failure == OnFailure::kContinue &&
             it->second.decided.empty();
    default:
      return false;
  }
}

std::optional<size_t> PlanRun::next_ready() const {
  if (stopping_ || running_.size() >= tools_.parallel) {
    return {};
  }
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const PlanNode& node = graph_.nodes[i];
    if (running_.contains(i) || settled(node)) {
      continue;
    }
    if (std::all_of(node.after.begin(), node.after.end(),
                    [&](size_t one) { return settled(graph_.nodes[one]); })) {
      return i;
    }
  }
  return {};
}

void PlanRun::start_step(size_t index) {
  const PlanNode& node = graph_.nodes[index];
  auto running = std::make_unique<Running>();
  running->deadline = context_.clock.monotonic() + node.spec.timeout;
  Running& here = *running;
  running_[index] = std::move(running);
  here.thread = std::jthread([this, &node, &here] {
    try {
      run_step(node, here);
    } catch (...) {  // the journal cannot be written: nothing may go on
      const std::scoped_lock lock(mutex_);
      fatal_ = fatal_ ? fatal_ : std::current_exception();
      stopping_ = true;
    }
    const std::scoped_lock lock(mutex_);
    here.ended = true;
    changed_.notify_all();
  });
}

// Stops what is over its time, or everything when we were told to.
void PlanRun::watch_running() {
  if (!lost_ && taken_over()) {
    lost_ = true;
    error_ = tools_.mirror->lost();
    hint_ =
        "What was at work here was interrupted. `salvor plan runs --from-repository` shows how "
        "far the run is.";
  }
  const bool stop = context_.stop.stop_requested() || lost_;
  const MonotonicTime now = context_.clock.monotonic();
  for (auto& [index, running] : running_) {
    if ((stop || fatal_) && !running->ended) {
      running->stop.request_stop();
    } else if (running->deadline && now >= *running->deadline && !running->ended) {
      running->timed_out = true;
      running->stop.request_stop();
    }
  }
  stopping_ = stopping_ || stop;
}

RunEnd PlanRun::execute() {
  constexpr auto kTick = std::chrono::milliseconds(50);
  if (state_.undone) {
    return undo();
  }
  {
    std::unique_lock lock(mutex_);
    while (true) {
      watch_running();
      while (const auto index = next_ready()) {
        start_step(*index);
      }
      if (running_.empty()) {
        break;
      }
      changed_.wait_for(lock, kTick);
      for (auto it = running_.begin(); it != running_.end();) {
        it = it->second->ended ? running_.erase(it) : std::next(it);  // its thread has let go
      }
    }
  }
  if (fatal_) {
    std::rethrow_exception(fatal_);
  }
  const RunEnd how = judge();
  if (how == RunEnd::kFailed && undo_asked_) {
    return undo();
  }
  return end(how);
}

RunEnd PlanRun::judge() {
  bool failed = false;
  for (const PlanNode& node : graph_.nodes) {
    if (!settled(node)) {
      if (lost_) {
        return RunEnd::kInterrupted;
      }
      if (context_.stop.stop_requested() && !undo_asked_) {
        error_ = "interrupted";
        hint_ = "`salvor plan resume " + id_.substr(0, 8) + "` goes on, `salvor plan undo " +
                id_.substr(0, 8) + "` takes it back.";
        return RunEnd::kInterrupted;
      }
      return undecided_ ? RunEnd::kInterrupted : RunEnd::kFailed;
    }
    failed = failed || record_of(node.spec.id).state == StepState::kFailed;
  }
  return failed ? RunEnd::kIncomplete : RunEnd::kSucceeded;
}

RunEnd PlanRun::end(RunEnd how) {
  record({.type = "end", .values = {{"outcome", std::string(name_of(how))}, {"error", error_}}});
  return how;
}

// --- one step

std::string PlanRun::missing_output(const PlanNode& node) const {
  for (const std::string& name : variables_in(node.spec.action.settings)) {
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos || name.starts_with("target.")) {
      continue;
    }
    const std::string step = name.substr(0, dot);
    if (graph_.find(step) != nullptr && record_of(step).state == StepState::kSkipped) {
      return "it needs what " + step + " gives, which was skipped";
    }
  }
  return {};
}

void PlanRun::run_step(const PlanNode& node, Running& running) {
  std::string skip = skip_reason(node, tools_.site.mode());
  if (skip.empty()) {
    skip = missing_output(node);
  }
  if (!skip.empty()) {
    record({.type = "skipped", .step = node.spec.id, .values = {{"why", skip}}});
    show(node.spec.id, StepState::kSkipped, skip);
    return;
  }
  if (!go_on_after_interruption(node, running)) {
    return;
  }
  const unsigned attempts = node.spec.retries + 1;
  for (unsigned attempt = 1; !try_once(node, running, attempt >= attempts); ++attempt) {
    if (!pause(node, running)) {
      return;  // the next run tries again
    }
  }
}

// One attempt; its failure is journalled. True: there is nothing to try again.
bool PlanRun::try_once(const PlanNode& node, Running& running, bool last) {
  give_time(node, running);
  try {
    context_.check_stopped();
    if (had_its_effect(node, running) ||
        !approved(node, context_.with_stop(running.stop.get_token()))) {
      return true;
    }
    give_time(node, running);  // what people took is not the attempt's
    attempt_step(node, running, last);
    return true;
  } catch (const Error& error) {
    bool stopped = false;
    bool timed_out = false;
    std::string message = kept_text(tools_.secrets, error.message());
    {
      const std::scoped_lock lock(mutex_);
      if (fatal_) {
        return true;
      }
      stopped = taken_over() || context_.stop.stop_requested();
      timed_out = running.timed_out;
      if (timed_out) {
        message = fmt::format("not done after {} s{}", node.spec.timeout.count(),
                              running.last_said.empty() ? "" : ": " + running.last_said);
      }
    }
    if (stopped && error.code() == ErrorCode::kCancelled) {
      // As after a crash: its end is not known, the next run probes.
      tools_.observer.on({.kind = RunEvent::kSaid, .step = node.spec.id, .text = "interrupted"});
      return true;
    }
    const bool final = last || stopped || timed_out;
    fail(node, message, kept_text(tools_.secrets, error.hint()), final, {});
    return final;
  }
}

// Each attempt has the step's whole time, and no stop that was meant for the one before.
void PlanRun::give_time(const PlanNode& node, Running& running) {
  const std::scoped_lock lock(mutex_);
  running.stop = std::stop_source();
  running.timed_out = false;
  running.last_said.clear();
  running.deadline = context_.clock.monotonic() + node.spec.timeout;
  if (fatal_ || lost_ || context_.stop.stop_requested()) {
    running.stop.request_stop();
  }
}

// Until the next attempt, without a deadline. False: there is to be none.
bool PlanRun::pause(const PlanNode& node, Running& running) {
  constexpr auto kTick = std::chrono::milliseconds(20);
  const auto until = std::chrono::steady_clock::now() + node.spec.retry_delay;
  while (true) {
    {
      const std::scoped_lock lock(mutex_);
      running.deadline.reset();
      if (fatal_ || taken_over() || context_.stop.stop_requested()) {
        return false;
      }
    }
    if (std::chrono::steady_clock::now() >= until) {
      return true;
    }
    std::this_thread::sleep_for(kTick);
  }
}

// An attempt that failed may have had its effect all the same: the answer to its COMMIT was lost.
// When it noted something, that is looked at before the next one. Throws Error when nobody knows.
bool PlanRun::had_its_effect(const PlanNode& node, Running& running) {
  const StepRecord now = record_of(node.spec.id);
  if (now.state != StepState::kFailed || now.notes.size() == now.judged_notes) {
    return false;
  }
  ProbeAnswer answer;
  try {
    answer = probe(node, running);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    throw Error(error.code(), "whether it was done all the same cannot be seen: " + error.message(),
                error.hint());
  }
  if (answer.state == Probed::kUnknown) {
    throw Error(ErrorCode::kFailed, "it may have been done all the same: " + answer.why,
                judge_hint(node));
  }
  if (answer.state == Probed::kDone) {
    record_done(node, kept_result(tools_.secrets, std::move(answer.result)));
  }
  return answer.state == Probed::kDone;
}

// Throws Error when the attempt failed.
void PlanRun::attempt_step(const PlanNode& node, Running& running, bool last) {
  const Context context = context_.with_stop(running.stop.get_token());
  record({.type = "begin",
          .step = node.spec.id,
          .values = {{"boot", boot_}, {"machine", machine_}, {"host", tools_.host}}});
  if (tools_.mirror != nullptr) {  // a moment: who takes over should know that this was begun
    static_cast<void>(tools_.mirror->settle());
    if (taken_over()) {
      throw cancelled();
    }
  }
  show(node.spec.id, StepState::kBegun, "");
  StepResult result;
  try {
    context.check_stopped();
    StepScene scene =
        scene_of(node, node.spec.action, context, &running, record_of(node.spec.id).attempts);
    result = node.step->run(scene);
    if (!scene.network.empty()) {
      result.facts.emplace_back("network", scene.network);
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& unexpected) {
    throw Error(ErrorCode::kFailed, unexpected.what());
  }
  result = kept_result(tools_.secrets, std::move(result));
  if (const std::string wrong = failed_checks(result.checks); !wrong.empty()) {
    if (!last) {
      throw Error(ErrorCode::kFailed, wrong);
    }
    // The checks are worth keeping, also those that passed.
    fail(node, wrong, "", true, std::move(result.checks));
    return;
  }
  record_done(node, std::move(result));
}

// `kept`: as the journal can keep it.
void PlanRun::record_done(const PlanNode& node, StepResult kept) {
  const std::string summary = kept.summary;
  record({.type = "done",
          .step = node.spec.id,
          .values = {{"summary", summary}},
          .outputs = std::move(kept.outputs),
          .facts = std::move(kept.facts),
          .checks = std::move(kept.checks)});
  show(node.spec.id, StepState::kDone, summary);
}

void PlanRun::fail(const PlanNode& node, const std::string& message, const std::string& hint,
                   bool final, std::vector<CheckResult> checks) {
  record({.type = "failed",
          .step = node.spec.id,
          .values = {{"error", message}, {"hint", hint}, {"final", final ? "true" : "false"}},
          .checks = std::move(checks)});
  show(node.spec.id, StepState::kFailed, message, hint);
  if (!final || node.spec.on_failure == OnFailure::kContinue) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  stopping_ = true;
  undo_asked_ = undo_asked_ || node.spec.on_failure == OnFailure::kUndo;
  if (error_.empty()) {
    error_ = "step " + node.spec.id + " failed: " + message;
    hint_ = hint;
  }
}

// What became of earlier attempts. Throws Error when it cannot be seen.
ProbeAnswer PlanRun::probe(const PlanNode& node, Running& running) {
  const StepRecord now = record_of(node.spec.id);
  const Context context = context_.with_stop(running.stop.get_token());
  try {
    StepScene scene = scene_of(node, node.spec.action, context, &running, now.attempts);
    scene.notes.erase(scene.notes.begin(),
                      scene.notes.begin() + static_cast<ptrdiff_t>(now.judged_notes));
    return node.step->probe(scene);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& unexpected) {
    throw Error(ErrorCode::kFailed, unexpected.what());
  }
}

// Of a step whose attempt a dead process had begun. False: it is settled, or must wait for a
// person.
bool PlanRun::go_on_after_interruption(const PlanNode& node, Running& running) {
  const std::string& id = node.spec.id;
  const StepRecord now = record_of(id);
  if (now.decided == "skip") {
    record_done(
        node,
        {.summary = "taken for done, as a person said", .outputs = {}, .checks = {}, .facts = {}});
    return false;
  }
  if (now.state != StepState::kBegun || now.decided == "redo") {
    return true;
  }
  ProbeAnswer answer;
  try {
    answer = probe(node, running);
  } catch (const Error& error) {
    answer = {.state = Probed::kUnknown,
              .result = {},
              .why = "its state cannot be seen: " + tools_.secrets.hide(error.message())};
  }
  if (context_.stop.stop_requested()) {
    return false;
  }
  if (answer.state == Probed::kDone) {
    record_done(node, kept_result(tools_.secrets, std::move(answer.result)));
    return false;
  }
  if (answer.state == Probed::kNotDone) {
    tools_.observer.on(
        {.kind = RunEvent::kSaid,
         .step = id,
         .text = "was interrupted, is done again" + (answer.why.empty() ? "" : ": " + answer.why)});
    return true;
  }
  const std::string what = tools_.people.decide(id, answer.why);
  if (what == "redo" || what == "skip") {
    decide(id, what);
    return go_on_after_interruption(node, running);
  }
  const std::scoped_lock lock(mutex_);
  stopping_ = true;
  undecided_ = true;
  error_ = "step " + id + ": " + answer.why;
  hint_ = judge_hint(node);
  return false;
}

std::string PlanRun::judge_hint(const PlanNode& node) const {
  return fmt::format(
      "Look at it, then `salvor plan resume {0} --skip {1}` when it is done, or --redo {1} when it "
      "may be done again.",
      id_.substr(0, 8), node.spec.id);
}

std::optional<std::string> PlanRun::lookup(std::string_view name) {
  if (name == "run.id") {
    return id_;
  }
  if (name == "run.plan") {
    return graph_.name;
  }
  if (name == "run.mode") {
    return std::string(plan::name_of(tools_.site.mode()));
  }
  if (name == "run.folder") {
    return folder_.of(id_).string();
  }
  constexpr std::string_view kTarget = "target.";
  if (name.starts_with(kTarget)) {
    return target_value(tools_.site, name.substr(kTarget.size()));
  }
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, value] : state_.facts.parameters) {
    if (key == name) {
      return value;
    }
  }
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) {
    return {};
  }
  const auto it = state_.steps.find(std::string(name.substr(0, dot)));
  if (it == state_.steps.end()) {
    return {};
  }
  for (const auto& [key, value] : it->second.result.outputs) {
    if (key == name.substr(dot + 1)) {
      return value;
    }
  }
  return {};
}

StepScene PlanRun::scene_of(const PlanNode& node, const ActionSpec& action, const Context& context,
                            Running* running, unsigned attempt) {
  const std::string& id = node.spec.id;
  const StepRecord now = record_of(id);
  const VariableLookup find = [this](std::string_view name) { return lookup(name); };
  StepScene scene{
      .context = context,
      .site = tools_.site,
      .secrets = tools_.secrets,
      .run = id_,
      .step = id,
      .files = folder_.of(id_) / fmt::format("{}.{}", file_name_of(id), attempt),
      .raw = action.settings,
      .settings = {},
      .lookup = find,
      .notes = now.notes,
      .wanted = graph_.wanted_outputs(id),
      .point = {},
      .same_boot = !boot_.empty() && now.boot == boot_ && now.machine == machine_,
      .note =
          [this, id](const std::string& key, const std::string& value) {
            record(
                {.type = "note", .step = id, .values = {{key, kept_text(tools_.secrets, value)}}});
          },
      .say =
          [this, id, running](const std::string& text) {
            const std::string shown = tools_.secrets.hide(text);
            if (running != nullptr) {
              const std::scoped_lock lock(mutex_);
              running->last_said = shown;
            }
            tools_.observer.on({.kind = RunEvent::kSaid, .step = id, .text = shown});
          },
      .bytes =
          [this, id](uint64_t done, uint64_t total) {
            tools_.observer.on(
                {.kind = RunEvent::kBytes, .step = id, .done = done, .total = total});
          },
      .ask =
          [this, &node, &context](const std::string& question, const std::vector<std::string>& by) {
            return wait_for_approval(context, node, question, by);
          },
      .announce =
          [this, id](const std::string& severity, const std::string& text) {
            tools_.observer.on({.kind = RunEvent::kAnnounce,
                                .step = id,
                                .text = tools_.secrets.hide(text),
                                .severity = severity});
          }};
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = state_.points.find(id); it != state_.points.end()) {
      scene.point = it->second;
    }
  }
  scene.settings = expand(action.settings, find);
  return scene;
}

}  // namespace salvor::plan
