// A PostgreSQL source restored into a throw-away directory, with a server on a private socket: no
// network address, no way out to the network where the system allows that, archiving off.
#pragma once

#include "cli/stores/postgres_store.h"

namespace salvor::cli {

[[nodiscard]] std::unique_ptr<SandboxedStore> open_postgres_sandbox(const StoreSite& site,
                                                                    const Context& context,
                                                                    const SourceSpec& source,
                                                                    const SandboxSpec& sandbox,
                                                                    const RestoreOrder& order);

}  // namespace salvor::cli
