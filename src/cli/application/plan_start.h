// `plan run`.
#pragma once

#include "cli/application/plan_options.h"
#include "cli/session.h"

namespace salvor::cli {

// Looks ahead, asks, runs. Throws Error.
int start_plan(const PlanOptions& options, Session& session);

}  // namespace salvor::cli
