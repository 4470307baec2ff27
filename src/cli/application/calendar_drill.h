// A drill of the configuration's calendar, for `salvor run`.
#pragma once

#include <string>

#include "cli/application/configuration_access.h"
#include "model/run_record.h"

namespace salvor::cli {

// As `salvor drill run --drill name`: evidence is kept, the sources' records are written down. What
// comes back is the drill's own record, which the caller writes down.
[[nodiscard]] RunRecord run_calendar_drill(Session& session, const ConfigurationOptions& options,
                                           const std::string& name);

}  // namespace salvor::cli
