// How large snapshots are, counted in restic's four ways.
#pragma once

#include <cstdint>
#include <span>

#include "base/context.h"
#include "model/snapshot.h"
#include "repo/repository.h"

namespace salvor {

enum class StatsMode : uint8_t {
  kRestoreSize,      // bytes that a restore of each snapshot writes; hard links once
  kFilesByContents,  // files with different content, once each
  kBlobsPerFile,     // blobs that files refer to, once a path
  kRawData,          // blobs as they are stored
};

struct Stats {
  uint64_t snapshots = 0;
  uint64_t size_bytes = 0;
  uint64_t files = 0;  // entries of any type in kRestoreSize, as restic counts
  uint64_t blobs = 0;
  // kRawData: with 32 bytes of sealing a blob, as restic counts them.
  uint64_t uncompressed_bytes = 0;
  uint64_t compressed_blobs_bytes = 0;
  uint64_t compressed_blobs_uncompressed_bytes = 0;
};

// The index must be loaded. Throws Error when something cannot be read.
[[nodiscard]] Stats count_stats(const Context& context, const Repository& repository,
                                std::span<const StoredSnapshot> snapshots, StatsMode mode);

}  // namespace salvor
