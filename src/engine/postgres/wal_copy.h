// Brings the log of PostgreSQL clusters along with copied backups, so that any point in time can be
// reached from the copy too.
#pragma once

#include <cstdint>
#include <functional>

#include "base/context.h"
#include "repo/repository.h"

namespace salvor {

struct WalCopyOptions {
  unsigned threads = 2;  // each holds one segment in memory, sealed and plain
  std::function<void(const Context&)> confirm_lock = {};
  // Called on the caller's thread for each cluster with something to copy, before it is.
  std::function<void(uint64_t system, size_t objects, uint64_t stored_bytes)> on_planned = {};
};

struct WalCopied {
  size_t objects = 0;
  uint64_t stored_bytes = 0;  // in the source
};

// For each cluster of which the target has a physical backup and the source has a log: what the
// target lacks of it, from where the oldest of the target's backups starts on, with all history
// files. Each object is verified when it is read, sealed anew under the target's key, and durable
// when this returns; oldest first, so that an interrupted copy is short, and the next one goes on.
// Pieces of segments that the target has whole are removed there.
//
// Neither index need be loaded. Costs a listing of each log on both sides. Throws
// Error{kDamaged} that names an object which is not as it was stored: all others are copied first.
// Thread-safe.
WalCopied copy_wal(const Context& context, Repository& source, const Repository& target,
                   const WalCopyOptions& options);

}  // namespace salvor
