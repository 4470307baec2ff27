// A files source restored into a throw-away directory, to be broken and brought back.
#pragma once

#include "cli/stores/files_store.h"

namespace salvor::cli {

// Restores `snapshot` below a directory of its own in `sandbox.directory` (/var/tmp when empty).
[[nodiscard]] std::unique_ptr<SandboxedStore> open_files_sandbox(const StoreSite& site,
                                                                 const Context& context,
                                                                 const SourceSpec& source,
                                                                 const SandboxSpec& sandbox,
                                                                 const RestoreOrder& order);

// The snapshots of a files source, newest last.
[[nodiscard]] std::vector<StoredSnapshot> files_snapshots(const StoreSite& site,
                                                          const Context& context,
                                                          const Repository& repository,
                                                          const SourceSpec& source);
// The source's paths: absolute and cleaned.
[[nodiscard]] std::vector<std::string> source_paths(const StoreSite& site,
                                                    const SourceSpec& source);
[[nodiscard]] WallTime captured_at(const StoredSnapshot& stored);

}  // namespace salvor::cli
