// A run of production taken up again: `plan resume`, `plan undo`, `plan finish`; also one that
// another machine began.
#pragma once

#include "cli/application/plan_options.h"
#include "cli/session.h"

namespace salvor::cli {

int resume_run(const PlanOptions& options, Session& session);
int undo_run(const PlanOptions& options, Session& session);
int finish_run(const PlanOptions& options, Session& session);

}  // namespace salvor::cli
