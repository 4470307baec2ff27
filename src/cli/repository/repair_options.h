// What the commands that repair hand to the engine.
#pragma once

#include "cli/repository_access.h"
#include "engine/maintenance/repair.h"

namespace salvor::cli {

// `opened` must outlive the result: its lock is confirmed before anything is written or removed.
[[nodiscard]] RepairOptions repair_options(const GlobalOptions& global,
                                           const OpenedRepository& opened);

}  // namespace salvor::cli
