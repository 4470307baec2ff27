#include "protect/watched_sandbox.h"

#include <algorithm>

namespace salvor {

bool blames_backup(const Error& error) {
  return error.code() == ErrorCode::kFailed || error.code() == ErrorCode::kIncomplete ||
         error.code() == ErrorCode::kDamaged;
}

PointFinding judge_point(const SandboxSeen& seen, bool passed) {
  if (!seen.failure.empty()) {
    return {.verdict = PointVerdict::kRefuted, .checks = {}, .error = seen.failure};
  }
  const auto failed = std::ranges::find(seen.checks, false, &CheckResult::passed);
  if (failed != seen.checks.end()) {
    return {.verdict = PointVerdict::kRefuted,
            .checks = seen.checks,
            .error = failed->name + (failed->value.empty() ? " failed" : ": " + failed->value)};
  }
  // What the scenario took away and no step brought back was not recovered, whatever else passed.
  const bool proven = seen.restored && (passed || !seen.checks.empty());
  return {.verdict = proven ? PointVerdict::kProven : PointVerdict::kNothing,
          .checks = seen.checks,
          .error = {}};
}

WatchedSandbox::WatchedSandbox(std::unique_ptr<SandboxedStore> sandbox, SandboxSeen& seen)
    : sandbox_(std::move(sandbox)), seen_(seen) {
  seen_ = {.restored = true, .failure = {}, .checks = {}};
}

std::vector<CheckResult> WatchedSandbox::check(const Context& context) {
  seen_.checks.clear();
  seen_.checks = sandbox_->check(context);
  return seen_.checks;
}

std::string WatchedSandbox::break_it(const Context& context, const std::string& scenario) {
  seen_ = {};
  return sandbox_->break_it(context, scenario);
}

RestoreOutcome WatchedSandbox::recover(const Context& context, const RestoreOrder& order) {
  seen_ = {};
  try {
    RestoreOutcome outcome = sandbox_->recover(context, order);
    seen_.restored = true;
    return outcome;
  } catch (const Error& error) {
    if (blames_backup(error)) {
      seen_.failure = error.message();
    }
    throw;
  }
}

}  // namespace salvor
