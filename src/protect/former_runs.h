// What the catalog knows of a job's earlier runs.
#pragma once

#include "catalog/catalog.h"
#include "protect/due.h"

namespace salvor {

// Of this application alone, where several share a repository; not what, by a clock that was wrong,
// lies in the future. Throws what the catalog throws.
[[nodiscard]] FormerRuns former_runs(Catalog& catalog, const Application& application,
                                     const Job& job, WallTime now);

}  // namespace salvor
