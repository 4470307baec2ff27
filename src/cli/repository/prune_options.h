// What `prune` and `forget --prune` share: options, figures, progress.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/repository_access.h"
#include "engine/maintenance/pruner.h"

namespace salvor::cli {

struct PruneFlags {
  std::string max_unused = "5%";
  std::optional<Size> max_repack_size;
  bool repack_cacheable_only = false;
  bool repack_small = false;  // deprecated in restic: small packs are repacked anyway
  bool repack_uncompressed = false;
  std::optional<Size> repack_smaller_than;
  std::optional<Duration> keep_delete;
  bool instant_delete = false;
};

[[nodiscard]] std::vector<OptionSpec> prune_option_table(PruneFlags& flags);

// The flags as the engine takes them, with compression and pack size of the global options. Throws
// Error{kUsage}.
[[nodiscard]] PruneOptions prune_options(const PruneFlags& flags, const GlobalOptions& global);

struct PruneOutcome {
  PruneStatistics figures;
  PruneResult result;  // empty on a dry run
};

// Plans, shows the figures, and unless `dry_run` carries the plan out.
PruneOutcome run_prune(Session& session, OpenedRepository& opened, PruneOptions options,
                       bool dry_run);

}  // namespace salvor::cli
