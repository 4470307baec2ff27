// Files and directories of this machine as a Store.
//
// Settings: engine/store_kinds.cc. Relative paths begin at the configuration file's folder. A
// snapshot is no instant: c is when the run began, since what was changed later may be missing.
// Snapshots are known by their tag; those that `salvor backup` or restic made of the same paths on
// this host count too.
//
// Restoring into the original places: kMoveAside renames each of the source's paths (so they must
// not be mount points), kOverwrite makes them what the snapshot holds, which removes what it does
// not hold. When a restore that moved old data aside fails, that data is put back at once.
//
// Assertions are shell commands, run in the restored directory (of several paths: the folder that
// holds them all), where $SALVOR_DIRECTORY names it; they must end with 0.
#pragma once

#include "cli/stores/store_site.h"

namespace salvor::cli {

[[nodiscard]] std::unique_ptr<Store> make_files_store(const StoreSite& site,
                                                      const SourceSpec& source);

// Regular files below `target` compared with the snapshot's, by content: "12 files differ, the
// first is /a"; empty when none does and nothing else is there. Reads all of it.
[[nodiscard]] std::string compare_files(const Context& context, Repository& repository,
                                        const BlobId& tree, const std::string& target,
                                        const std::vector<std::string>& paths, uint64_t& files);

// One shell command as a check; `directory` is where it runs.
[[nodiscard]] CheckResult run_assertion(const Context& context, const std::string& command,
                                        const std::string& directory);

// For RestoreSelection: a path that means itself.
[[nodiscard]] std::string literal_pattern(const std::string& path);

}  // namespace salvor::cli
