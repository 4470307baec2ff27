// Forgetting snapshots: by policy or by name. What they held stays until the next prune.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/context.h"
#include "engine/snapshots/retention.h"

namespace salvor {

class Repository;

struct ForgetRules {
  RetentionPolicy policy;
  GroupBy group_by;
  // Allows an empty policy, which keeps nothing; only with a filter.
  bool allow_remove_all = false;
  bool filtered = false;  // not all snapshots were up for choice
};

struct ForgetGroup {
  SnapshotGroup group;  // without its snapshots
  RetentionResult result;
};

struct ForgetPlan {
  std::vector<ForgetGroup> groups;
  std::vector<SnapshotId> remove;  // of all groups
};

// Pure. Throws Error{kFailed} rather than removing every snapshot of a group: a policy that matches
// nothing (a mistyped tag) must not cost the last backup.
[[nodiscard]] ForgetPlan plan_forget(std::vector<StoredSnapshot> snapshots,
                                     const ForgetRules& rules, WallTime now);

struct ForgetResult {
  std::vector<SnapshotId> removed;
  size_t not_removed = 0;  // told as warnings
};

// Hold an exclusive lock; `confirm_lock` is called before the first removal.
[[nodiscard]] ForgetResult remove_snapshots(const Context& context, const Repository& repository,
                                            std::span<const SnapshotId> ids,
                                            const std::function<void()>& confirm_lock);

}  // namespace salvor
