// Begins a restore with what an old directory has of a snapshot's files: they are copied beside it,
// so that only what differs has to be fetched and the old directory stays as it is.
//
// Copies share their blocks with the originals where the file system can (XFS, Btrfs: no room, no
// time); elsewhere they take their whole size. Hard links would not do: a server that recovers
// writes into the files that it finds.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/context.h"
#include "repo/repository.h"

namespace salvor {

struct SeedOptions {
  std::string from;  // the old directory; links in it are not followed
  // Paths in the snapshot ("/pg_wal") that are not copied, with all below them.
  std::function<bool(const std::string& path)> leave_out;
};

struct SeedSize {
  uint64_t files = 0;
  uint64_t bytes = 0;
  bool shared = false;     // the copies take no room
  uint64_t available = 0;  // bytes for us on that file system
};

// What `seed` would copy into a directory beside `from`. Index loaded. Writes nothing that stays.
[[nodiscard]] SeedSize measure_seed(const Context& context, const Repository& repository,
                                    const BlobId& tree, const SeedOptions& options);

// Copies the regular files of `from` that the snapshot has, too, into `to`, which need not exist;
// mode 0600, on all processors. Throws Error; what is there already is replaced.
void seed(const Context& context, const Repository& repository, const BlobId& tree,
          const SeedOptions& options, const std::string& to);

}  // namespace salvor
