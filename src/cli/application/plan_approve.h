// `plan approve`.
#pragma once

#include "cli/application/plan_options.h"
#include "cli/session.h"

namespace salvor::cli {

// Leaves the answer for the process that runs the plan. Throws Error when the step waits for
// nobody, or for somebody else.
int approve_step(const PlanOptions& options, Session& session);

}  // namespace salvor::cli
