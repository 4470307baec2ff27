// The cheap proof after a backup that a command has made (V1); configured sources have theirs from
// finish_backup.
#pragma once

#include "cli/session.h"
#include "engine/backup/archiver.h"

namespace salvor::cli {

// Reads a sample of the new snapshot again (engine/sample_check.h) and says what was found. Returns
// the command's exit status: as `result` has it, or that of damage when the sample is not sound.
// Nothing was stored: nothing is read. Throws what check_sample throws.
[[nodiscard]] int prove_backup(Session& session, const Context& context,
                               const Repository& repository, const BackupResult& result);

}  // namespace salvor::cli
