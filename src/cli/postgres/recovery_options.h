// To which moment a cluster is recovered: what restoring one and proving one have in common.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "engine/postgres/recovery_target.h"
#include "repo/repository.h"

namespace salvor::cli {

struct RecoveryChoices {
  std::optional<std::string> snapshot;
  std::string label;  // of a backup; the target is then its own end unless another is given
  std::string to;
  std::string time;
  std::string lsn;
  std::string xid;
  std::string name;
  bool before = false;
  std::string timeline;
  std::optional<uint64_t> system;
};

[[nodiscard]] std::vector<OptionSpec> target_options(RecoveryChoices& choices);
// Throws Error{kUsage}.
[[nodiscard]] RecoveryTarget recovery_target(const RecoveryChoices& choices);

struct PlannedRecovery {
  WalArchive archive;
  RecoveryPlan plan;
};

// The backup and the WAL. Throws Error when the target cannot be reached.
[[nodiscard]] PlannedRecovery plan_recovery(const Context& context, const Repository& repository,
                                            const RecoveryChoices& choices,
                                            const RecoveryTarget& target);
[[nodiscard]] std::string describe_plan(const RecoveryPlan& plan);

// "name=value" of `option`. Throws Error{kUsage}.
[[nodiscard]] std::pair<std::string, std::string> split_pair(const std::string& text,
                                                             const char* option);
// This program's file.
[[nodiscard]] std::string own_path();

}  // namespace salvor::cli
