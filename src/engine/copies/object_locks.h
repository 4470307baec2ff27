// Protection against removal (object lock, storage/storage.h) over a whole repository: what of that
// which the snapshots need is protected, until when, and making it last.
//
// Uploads get their protection when they are stored. A pack that later backups go on using would
// lose it while it is still needed: it has to be extended from time to time. What no snapshot needs
// any more is left to expire, so that a prune can remove it.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "base/context.h"
#include "repo/repository.h"

namespace salvor {

struct LockCount {
  ObjectKind kind = ObjectKind::kConfig;
  uint64_t objects = 0;  // that the snapshots need
  uint64_t held = 0;     // protected at this moment
  uint64_t extended = 0;
  std::optional<WallTime> first_end;  // of those with a time, after extending
};

struct LockReport {
  std::array<LockCount, 6> kinds;  // config, keys, snapshots, index, packs, our own (journals)
  uint64_t legal_holds = 0;
  uint64_t compliance = 0;
  uint64_t failed = 0;  // that could not be looked at or extended

  [[nodiscard]] uint64_t objects() const;
  [[nodiscard]] uint64_t held() const;
  [[nodiscard]] uint64_t extended() const;
  [[nodiscard]] std::optional<WallTime> first_end() const;  // nothing while some are not held
};

struct LockOptions {
  // Extend what ends before; nothing: only look.
  std::optional<WallTime> until;
  bool dry_run = false;                   // count what would be extended
  unsigned threads = 2;                   // for reading trees
  std::atomic<uint64_t>* done = nullptr;  // objects looked at, for progress
  std::atomic<uint64_t>* total = nullptr;
};

// The index must be loaded and a lock held. One request an object, two more for each that is
// extended, as many at a time as the storage likes. What fails with one object is an event
// (ItemFailed), and the others are extended all the same: an object that is missing must not let
// all protection run out. So is damage that hides what the snapshots need: all packs count as
// needed then. Throws what is wrong with the storage as a whole; Error{kUsage} when something is to
// be extended and the storage cannot.
[[nodiscard]] LockReport survey_locks(const Context& context, Repository& repository,
                                      const LockOptions& options);

// The retention of each object, in their order; asked in parallel where the storage is remote.
[[nodiscard]] std::vector<std::optional<Retention>> retentions_of(
    const Context& context, Storage& storage, std::span<const ObjectName> objects);

}  // namespace salvor
