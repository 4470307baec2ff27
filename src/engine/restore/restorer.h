// Restores a snapshot, or a part of one, into a directory.
//
// The tree is walked depth first; directories, links and devices are made on the way. Files are
// collected in a window, whose size is limited so that memory does not grow with the snapshot.
// While the walk goes on and collects the next window, one window's blobs are read pack by pack in
// large requests, decoded and verified on all processors, and written to every place that needs
// them: no blob is fetched twice in a window. Directories get their metadata, and lose what
// `delete_unexpected` removes, when everything below them is done.
//
// A run that was interrupted is resumed by running it again: what is in place already is found by
// its hash and not written again. Files that could not be restored keep their present time so that
// no rule about times mistakes them for restored ones.
#pragma once

#include "base/context.h"
#include "engine/restore/restore_options.h"
#include "engine/restore/restore_progress.h"
#include "repo/repository.h"

namespace salvor {

class Restorer {
 public:
  // The caller holds a lock (or accepts what comes without) and has loaded the index.
  explicit Restorer(Repository& repository) : repository_(repository) {}

  // Blocks until all is written. Items that fail are reported as ItemFailed events and counted.
  // Throws Error when the run as a whole cannot go on: full disk, target cannot be made, storage
  // unreachable, interruption.
  [[nodiscard]] RestoreResult run(const Context& context, const BlobId& tree,
                                  const RestoreOptions& options);
  [[nodiscard]] const RestoreProgress& progress() const { return progress_; }

 private:
  Repository& repository_;
  RestoreProgress progress_;
};

}  // namespace salvor
