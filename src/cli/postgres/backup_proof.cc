#include "cli/postgres/backup_proof.h"

#include "engine/maintenance/sample_check.h"

namespace salvor::cli {

int prove_backup(Session& session, const Context& context, const Repository& repository,
                 const BackupResult& result) {
  const int status = result.errors > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
  if (!result.snapshot) {
    return status;
  }
  const SampleResult sample = check_sample(
      context, repository, result.tree, {.snapshot_bytes = result.summary.total_bytes_processed});
  if (!sample.sound()) {
    session.terminal.warn(
        "the snapshot was stored, and a sample of it cannot be read again: " + sample.text(),
        "Do not rely on it. Run `salvor check --read-data`.");
    return exit_status(ErrorCode::kDamaged);
  }
  session.terminal.message(sample.text());
  return status;
}

}  // namespace salvor::cli
