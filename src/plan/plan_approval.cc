// What PlanRun asks people before a step. An answer is to what the step was when it was given: one
// to another form of it, as it was before the plan was changed, does not count.
#include <thread>

#include "base/error.h"
#include "plan/plan_run.h"
#include "plan/plan_text.h"

namespace salvor::plan {

bool PlanRun::approved(const PlanNode& node, const Context& context) {
  if (!node.spec.approval || granted(node)) {
    return true;
  }
  try {
    const Approval answer =
        wait_for_approval(context, node, node.spec.approval->question, node.spec.approval->by);
    if (answer.granted) {
      return true;
    }
    fail(node,
         answer.by + " did not approve" + (answer.comment.empty() ? "" : ": " + answer.comment), "",
         true, {});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCancelled) {
      throw;  // an answer that cannot be read
    }
    if (!context_.stop.stop_requested() && !taken_over()) {
      fail(node, "nobody approved it in time", "", true, {});
    }
  }
  return false;
}

// Answers of older versions do not say what they are to.
bool PlanRun::counts(const Approval& answer, const PlanNode& node) const {
  return answer.hash.empty() ? !state_.changed : answer.hash == approval_hash(node);
}

std::optional<Approval> PlanRun::granted(const PlanNode& node) const {
  const std::optional<Approval> known = record_of(node.spec.id).approval;
  return known && known->granted && counts(*known, node) ? known : std::nullopt;
}

Approval PlanRun::wait_for_approval(const Context& context, const PlanNode& node,
                                    const std::string& question,
                                    const std::vector<std::string>& by) {
  const std::string& step = node.spec.id;
  // However it ends: nobody need be asked any more.
  const std::shared_ptr<void> asked(nullptr, [&](void*) { tools_.people.settled(step); });
  const auto answered = [&](const Approval& answer) {
    record({.type = "approval",
            .step = step,
            .values = {{"granted", answer.granted ? "true" : "false"},
                       {"by", answer.by},
                       {"comment", answer.comment},
                       {"question", question},
                       {"hash", approval_hash(node)}}});
    return answer;
  };
  if (const auto known = granted(node)) {
    return *known;
  }
  if (tools_.site.mode() == Mode::kDrill) {
    return answered({.granted = true, .by = "the drill", .comment = "nobody was asked"});
  }
  if (const auto left = folder_.approval(id_, step); left && !counts(*left, node)) {
    tools_.observer.on({.kind = RunEvent::kSaid,
                        .step = step,
                        .text = "an answer was left, but to another form of this step"});
  }
  tools_.observer.on({.kind = RunEvent::kQuestion, .step = step, .text = question});
  constexpr auto kTick = std::chrono::milliseconds(100);
  while (true) {
    if (const auto answer = folder_.approval(id_, step); answer && counts(*answer, node)) {
      return answered(*answer);
    }
    if (const auto answer = tools_.people.approval(step, question, by)) {
      return answered(*answer);
    }
    context.check_stopped();
    std::this_thread::sleep_for(kTick);
  }
}

}  // namespace salvor::plan
