// What is said and written down when a run of a plan has come to an end.
#pragma once

#include "cli/application/plan_session.h"

namespace salvor::cli {

// Closes the tree, says how it ended and what comes next, writes the run's record. Returns the exit
// status; throws Error where the run failed.
int conclude(PlanSession& plans, Session& session, const plan::PlanRun& run, plan::RunEnd end);

}  // namespace salvor::cli
