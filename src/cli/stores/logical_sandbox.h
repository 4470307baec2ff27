// A logical backup loaded into a throw-away server: initdb'd in the sandbox, on a private socket,
// with the backup's roles and a superuser of its own.
#pragma once

#include "cli/stores/store_site.h"

namespace salvor::cli {

[[nodiscard]] std::unique_ptr<SandboxedStore> open_logical_sandbox(const StoreSite& site,
                                                                   const Context& context,
                                                                   const SourceSpec& source,
                                                                   const SandboxSpec& sandbox,
                                                                   const RestoreOrder& order);

}  // namespace salvor::cli
