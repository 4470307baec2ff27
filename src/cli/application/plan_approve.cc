#include "cli/application/plan_approve.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/plan_session.h"
#include "plan/plan_text.h"

namespace salvor::cli {

using plan::PlanGraph;
using plan::PlanNode;

int approve_step(const PlanOptions& options, Session& session) {
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
  if (graph.hash != known.facts.hash) {
    session.terminal.warn(
        "the plan in the configuration is not the one that the run has",
        "The answer counts for the step as it is in the configuration: when it differs, only "
        "`salvor plan resume --accept-changed-plan` takes it up.");
  }
  plans.folder().leave_approval(id, options.step,
                                {.granted = !options.deny,
                                 .by = who,
                                 .comment = options.comment,
                                 .hash = plan::approval_hash(*node)});
  plans.record_decision("approval", options.deny ? "denied" : "granted",
                        "step " + options.step + " of plan " + graph.name + " by " + who +
                            (options.comment.empty() ? "" : ": " + options.comment),
                        id);
  plans.deliver_records(session.context);
  session.terminal.print_summary(fmt::format(
      "{} {} of run {}", options.deny ? "denied" : "approved", options.step, short_run_id(id)));
  return 0;
}

}  // namespace salvor::cli
