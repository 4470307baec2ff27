// What `backup` tells the user: parent, progress, summary; as text or as restic's JSON.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cli/output/progress.h"
#include "cli/session.h"
#include "engine/backup/archiver.h"

namespace salvor::cli {

// One backup run. Not thread-safe.
class BackupReport {
 public:
  BackupReport(Session& session, bool dry_run);

  // `expected`: whether a missing parent is worth mentioning.
  void parent(const std::optional<StoredSnapshot>& parent, bool expected);
  // Shows progress until `end`; totals are those of the parent, the best guess there is without a
  // scan.
  void begin(const BackupProgress& progress, const std::optional<StoredSnapshot>& parent);
  // The same with the source's own estimate of all bytes (0: not known yet), asked whenever it is
  // shown.
  void begin(const BackupProgress& progress, std::function<uint64_t()> estimated_bytes);
  void end(const BackupResult& result);

 private:
  void print_text(const BackupResult& result) const;
  void print_json(const BackupResult& result) const;

  Session& session_;
  const bool dry_run_;
  const MonotonicTime start_;
  std::unique_ptr<Progress> display_;
};

}  // namespace salvor::cli
