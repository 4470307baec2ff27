// `plan runs`.
#pragma once

#include "cli/application/plan_options.h"
#include "cli/session.h"

namespace salvor::cli {

// The runs of this machine, or those that the repositories know.
int list_plan_runs(const PlanOptions& options, Session& session);

}  // namespace salvor::cli
