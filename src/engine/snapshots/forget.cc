#include "engine/snapshots/forget.h"

#include <algorithm>

#include "engine/remove_objects.h"
#include "repo/repository.h"

namespace salvor {
namespace {

void check_rules(const ForgetRules& rules) {
  if (!rules.policy.empty()) {
    return;
  }
  if (!rules.allow_remove_all) {
    throw Error(ErrorCode::kFailed, "no policy was specified, no snapshots will be removed",
                "Say what to keep, for example --keep-daily 7 --keep-weekly 5, or name snapshots.");
  }
  if (!rules.filtered) {
    throw Error(ErrorCode::kFailed,
                "--unsafe-allow-remove-all is not allowed unless a snapshot filter option is "
                "specified",
                "Add --host, --tag or --path.");
  }
}

}  // namespace

ForgetPlan plan_forget(std::vector<StoredSnapshot> snapshots, const ForgetRules& rules,
                       WallTime now) {
  check_rules(rules);
  ForgetPlan plan;
  for (SnapshotGroup& group : group_snapshots(std::move(snapshots), rules.group_by)) {
    ForgetGroup decided;
    decided.result = apply_retention(std::move(group.snapshots), rules.policy, now);
    group.snapshots.clear();
    decided.group = std::move(group);
    if (decided.result.keep.empty() && !rules.policy.empty()) {
      throw Error(
          ErrorCode::kFailed,
          "refusing to delete last snapshot of snapshot group \"" + decided.group.text() + "\"",
          "The policy keeps none of its snapshots; look for a mistyped tag. Nothing was "
          "removed. To remove them all, name them.");
    }
    for (const StoredSnapshot& stored : decided.result.remove) {
      plan.remove.push_back(stored.id);
    }
    plan.groups.push_back(std::move(decided));
  }
  return plan;
}

ForgetResult remove_snapshots(const Context& context, const Repository& repository,
                              std::span<const SnapshotId> ids,
                              const std::function<void()>& confirm_lock) {
  ForgetResult result;
  if (ids.empty()) {
    return result;
  }
  context.check_stopped();
  if (confirm_lock) {
    confirm_lock();
  }
  std::vector<ObjectName> objects;
  for (const SnapshotId& id : ids) {
    objects.push_back(snapshot_object(id));
  }
  result.not_removed = remove_objects(context, repository, std::move(objects));
  for (const SnapshotId& id : ids) {
    if (result.not_removed == 0 ||
        !repository.storage().stat(context, snapshot_object(id)).has_value()) {
      result.removed.push_back(id);
    }
  }
  return result;
}

}  // namespace salvor
