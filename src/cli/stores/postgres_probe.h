// What a PostgreSQL source needs: connection, rights, settings, programs.
#pragma once

#include "cli/stores/store_site.h"

namespace salvor::cli {

[[nodiscard]] std::vector<ProbeResult> probe_postgres(const StoreSite& site, const Context& context,
                                                      const SourceSpec& source);

}  // namespace salvor::cli
