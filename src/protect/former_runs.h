// What the catalog knows of a job's earlier runs.
#pragma once

#include "catalog/catalog.h"
#include "protect/due.h"

namespace salvor {

// Of this application alone, where several share a repository. Throws what the catalog throws.
[[nodiscard]] FormerRuns former_runs(Catalog& catalog, const Application& application,
                                     const Job& job);

}  // namespace salvor
