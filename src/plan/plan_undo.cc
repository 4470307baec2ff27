// PlanRun::undo and PlanRun::finish: a run taken back, or accepted for good.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "plan/alarm.h"
#include "plan/failed_checks.h"
#include "plan/kept_result.h"
#include "plan/plan_run.h"
#include "plan/scope.h"

namespace salvor::plan {

// Whether only the machine that did the step can take it back. Where the step has an undo of its
// own, that counts: one that works over there (`host:`, `sql` ...) does so from any machine.
bool PlanRun::undone_elsewhere(const PlanNode& node) const {
  const StepRecord step = record_of(node.spec.id);
  return !step.machine.empty() && step.machine != machine_ &&
         node.step->local(node.spec.action.settings) &&
         (node.undo == nullptr || node.undo->local(node.spec.undo->settings));
}

std::vector<const PlanNode*> PlanRun::to_undo() const {
  std::vector<std::pair<uint64_t, const PlanNode*>> touched;
  for (const PlanNode& node : graph_.nodes) {
    const StepRecord step = record_of(node.spec.id);
    if (step.begun_at > 0 && step.state != StepState::kUndone &&
        (node.undo != nullptr || node.step->can_undo())) {
      touched.emplace_back(step.begun_at, &node);
    }
  }
  std::sort(touched.begin(), touched.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<const PlanNode*> nodes;
  for (const auto& [number, node] : touched) {
    nodes.push_back(node);
  }
  return nodes;
}

// Before anything is undone: says what would have to be done elsewhere. True: nothing.
bool PlanRun::can_undo_here(const std::vector<const PlanNode*>& nodes) {
  std::string steps;
  std::string leave;
  std::set<std::string> hosts;
  for (const PlanNode* node : nodes) {
    if (undone_elsewhere(*node)) {
      const std::string host = printable(record_of(node->spec.id).host);
      steps += (steps.empty() ? "" : ", ") + node->spec.id + " on " + host;
      leave += " --leave " + node->spec.id;
      hosts.insert(host);
    }
  }
  if (steps.empty()) {
    return true;
  }
  std::string places;
  for (const std::string& host : hosts) {
    places += (places.empty() ? "" : ", then on ") + host;
  }
  const std::string id = id_.substr(0, 8);
  // Why it is undone at all, is said first.
  error_ += (error_.empty() ? "" : "; ") +
            ("steps were done on another machine and what they changed is there (" + steps +
             "): nothing was undone");
  hint_ = fmt::format(
      "First `salvor plan undo {0}{1}` here: it takes back everything else. Then on {2}: `salvor "
      "plan undo {0} --from-repository`. A machine that is gone took what it had changed with it.",
      id, leave, places);
  return false;
}

// Because somebody says so, or because their undo would act on production in a drill.
std::vector<PlanRun::LeftStep> PlanRun::left_as_they_are(
    const std::vector<const PlanNode*>& nodes, const std::vector<std::string>& leave) const {
  std::vector<LeftStep> left;
  for (const std::string& step : leave) {
    const auto it = std::find_if(nodes.begin(), nodes.end(),
                                 [&](const PlanNode* node) { return node->spec.id == step; });
    if (it == nodes.end()) {
      throw Error(ErrorCode::kUsage,
                  graph_.find(step) == nullptr
                      ? "the plan has no step " + printable(step)
                      : "step " + printable(step) + " has nothing that could be undone",
                  "`salvor plan show " + graph_.name + "` lists the steps.");
    }
    left.push_back({.node = *it, .by = tools_.people.who()});
  }
  for (const PlanNode* node : nodes) {
    if (std::string why = undo_skip_reason(*node, tools_.site.mode()); !why.empty()) {
      left.push_back({.node = node, .by = "the drill", .why = std::move(why)});
    }
  }
  return left;
}

RunEnd PlanRun::undo(const std::vector<std::string>& leave) {
  std::vector<const PlanNode*> nodes = to_undo();
  const std::vector<LeftStep> left = left_as_they_are(nodes, leave);
  std::erase_if(nodes, [&](const PlanNode* node) {
    return std::any_of(left.begin(), left.end(),
                       [&](const LeftStep& one) { return one.node == node; });
  });
  if (!can_undo_here(nodes)) {
    return end(RunEnd::kUndoFailed);
  }
  if (!state_.undone) {
    record({.type = "undo", .values = {{"who", tools_.people.who()}}});
  }
  for (const LeftStep& one : left) {
    const std::string& id = one.node->spec.id;
    record({.type = "undo-left", .step = id, .values = {{"by", one.by}, {"why", one.why}}});
    tools_.observer.on(
        {.kind = RunEvent::kSaid,
         .step = id,
         .text = "left as it is" + (one.why.empty() ? "" : ", its undo: " + one.why)});
  }
  for (const PlanNode* node : nodes) {
    try {
      context_.check_stopped();
      undo_step(*node);
    } catch (const Error& error) {
      const std::string message = kept_text(tools_.secrets, error.message());
      if (context_.stop.stop_requested()) {
        error_ = "interrupted while it was undone";
        hint_ = "`salvor plan undo " + id_.substr(0, 8) + "` goes on with it.";
        return end(RunEnd::kInterrupted);
      }
      record({.type = "undo-failed", .step = node->spec.id, .values = {{"error", message}}});
      show(node->spec.id, StepState::kUndoFailed, message, tools_.secrets.hide(error.hint()));
      error_ = "step " + node->spec.id + " could not be undone: " + message;
      hint_ = tools_.secrets.hide(error.hint()) + (error.hint().empty() ? "" : " ") +
              "What came before it was not undone. Put it right, then `salvor plan undo " +
              id_.substr(0, 8) + "` goes on (--leave " + node->spec.id + ": without this step).";
      return end(RunEnd::kUndoFailed);
    }
  }
  return end(RunEnd::kUndone);
}

void PlanRun::undo_step(const PlanNode& node) {
  std::stop_source stop;
  const std::stop_callback forward(context_.stop, [&] { stop.request_stop(); });
  const Alarm alarm(stop, node.spec.timeout);
  try {
    undo_step(node, context_.with_stop(stop.get_token()));
  } catch (const Error&) {
    if (alarm.rang() && !context_.stop.stop_requested()) {
      throw Error(ErrorCode::kFailed,
                  fmt::format("not undone after {} s", node.spec.timeout.count()));
    }
    throw;
  }
}

void PlanRun::undo_step(const PlanNode& node, const Context& context) {
  const StepRecord before = record_of(node.spec.id);
  // A command that was interrupted may still be running: looking at it waits for its end.
  if (before.state == StepState::kBegun) {
    try {
      StepScene scene = scene_of(node, node.spec.action, context, nullptr, before.attempts);
      static_cast<void>(node.step->probe(scene));
    } catch (const Error&) {
      context.check_stopped();  // it cannot be seen: its undo must bear that
    }
  }
  record({.type = "undo-begin", .step = node.spec.id});
  show(node.spec.id, StepState::kUndoBegun, "");
  if (node.undo != nullptr) {
    StepScene scene = scene_of(node, *node.spec.undo, context, nullptr, 0);
    scene.files.clear();
    const StepResult result = node.undo->run(scene);
    if (const std::string wrong = failed_checks(result.checks); !wrong.empty()) {
      throw Error(ErrorCode::kFailed, wrong);
    }
  } else {
    StepScene scene = scene_of(node, node.spec.action, context, nullptr, 0);
    scene.files.clear();
    scene.interrupted = record_of(node.spec.id).before_undo == StepState::kBegun;
    node.step->undo(scene, before.result);
  }
  record({.type = "undo-done", .step = node.spec.id});
  show(node.spec.id, StepState::kUndone, "");
}

std::vector<std::string> PlanRun::finish() {
  record({.type = "finish-begin", .values = {{"who", tools_.people.who()}}});
  std::vector<std::string> left;
  for (const PlanNode& node : graph_.nodes) {
    const StepRecord step = record_of(node.spec.id);
    if (step.state != StepState::kDone) {
      continue;
    }
    if (!step.machine.empty() && step.machine != machine_ &&
        node.step->local(node.spec.action.settings)) {
      for (const auto& [name, value] : step.result.outputs) {
        if (name == "old-data" && !value.empty()) {
          left.push_back(fmt::format("the old data of step {} is on {} and stays there: {}",
                                     node.spec.id, printable(step.host), printable(value)));
        }
      }
      continue;
    }
    StepScene scene = scene_of(node, node.spec.action, context_, nullptr, 0);
    node.step->finish(scene, step.result);
  }
  record({.type = "finish-done"});
  return left;
}

}  // namespace salvor::plan
