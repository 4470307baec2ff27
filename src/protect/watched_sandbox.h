// What a rehearsal says of the recovery point that each source was restored from: that is what
// happened in the source's own sandbox, whatever else of the rehearsal failed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/store.h"

namespace salvor {

// Whether a restore that failed so says that the backup cannot be restored. What a full disk,
// missing rights or programs, a lock or a storage that is away keep from working says nothing of
// it.
[[nodiscard]] bool blames_backup(const Error& error);

enum class PointVerdict : uint8_t {
  kNothing,  // nobody looked into it, or what failed was something else
  kProven,   // restored and looked into
  kRefuted,  // it could not be restored, or a check of what was restored failed
};

struct PointFinding {
  PointVerdict verdict = PointVerdict::kNothing;
  std::vector<CheckResult> checks;  // of the source itself, the last time it was looked into
  std::string error;                // of kRefuted: why, one line
};

// What was seen of one sandbox. Not thread-safe: one call at a time, as for the sandbox.
struct SandboxSeen {
  bool restored = false;            // by the last attempt, and not broken since
  std::string failure;              // why not, where that blames the backup
  std::vector<CheckResult> checks;  // of the last look since then; empty: there was none
};

// `passed`: all of the rehearsal went well, objectives apart; then whatever it looked into the
// source with (queries, requests) counts as well.
[[nodiscard]] PointFinding judge_point(const SandboxSeen& seen, bool passed);

// Hands everything on to the sandbox and notes what became of it in `seen`, which outlives it.
class WatchedSandbox final : public SandboxedStore {
 public:
  WatchedSandbox(std::unique_ptr<SandboxedStore> sandbox, SandboxSeen& seen);
  [[nodiscard]] TextMap outputs() const override { return sandbox_->outputs(); }
  [[nodiscard]] RestoreOutcome restored() const override { return sandbox_->restored(); }
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override;
  std::string break_it(const Context& context, const std::string& scenario) override;
  [[nodiscard]] KeptStore leave(const Context& context) override {
    return sandbox_->leave(context);
  }
  [[nodiscard]] RestoreOutcome recover(const Context& context, const RestoreOrder& order) override;

 private:
  std::unique_ptr<SandboxedStore> sandbox_;
  SandboxSeen& seen_;
};

}  // namespace salvor
