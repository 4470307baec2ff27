// What logical backups of a source need.
#pragma once

#include "cli/stores/store_site.h"

namespace salvor::cli {

[[nodiscard]] std::vector<ProbeResult> probe_logical(const StoreSite& site, const Context& context,
                                                     const SourceSpec& source);
// A probe whose body says what it found, or throws.
[[nodiscard]] ProbeResult probed(const std::string& name, bool fatal, const std::string& hint,
                                 const std::function<std::string()>& body);

}  // namespace salvor::cli
