// `plan list`, `plan show`, and what a dry run says.
#pragma once

#include "cli/application/plan_options.h"
#include "cli/application/plan_session.h"

namespace salvor::cli {

int list_plans(const PlanOptions& options, Session& session);
int show_plan(const PlanOptions& options, Session& session);
// What a run of `graph` would do, what it would destroy, how much it would restore and how long
// that may take. Throws Error when it could not run.
int show_dry_run(PlanSession& plans, Session& session, const plan::PlanGraph& graph,
                 const plan::Preflight& preflight);

}  // namespace salvor::cli
