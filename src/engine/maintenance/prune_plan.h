// What a prune does with each pack: the decision, apart from its execution
// (engine/maintenance/pruner.h).
//
// Pure: facts in, plan out. The rules are restic's (restic format, section 9): packs without used
// blobs go; packs with unused ones are candidates for repacking, the most wasteful first, until
// what stays unused is within the limit; tree packs, mixed packs and raw tree packs are always
// repacked, small packs when there are enough of them. Packs that are marked for deletion already
// come back when they are needed, and go when the mark is old enough, as rustic does it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "base/id.h"

namespace salvor {

// How much unused data may stay (`--max-unused`).
struct MaxUnused {
  enum class Kind : uint8_t { kPercent, kBytes, kUnlimited };
  Kind kind = Kind::kPercent;
  double percent = 5;  // of the repository's size after the prune
  uint64_t bytes = 0;

  [[nodiscard]] uint64_t allowed(uint64_t used_bytes) const;
};

// "5%", "10G", "unlimited". Throws Error{kUsage}.
[[nodiscard]] MaxUnused parse_max_unused(std::string_view text);

struct PruneLimits {
  MaxUnused max_unused;
  uint64_t max_repack_bytes = std::numeric_limits<uint64_t>::max();
  uint64_t repack_smaller_than = 0;  // bytes; 0: judged by the sizes that there are
  bool repack_cacheable_only = false;
  bool repack_uncompressed = false;
  unsigned repository_version = 2;
};

// One pack, as index, listing and the marks of used blobs describe it. A blob with several copies
// is used in one of its packs only.
struct PackUse {
  PackId id;
  bool present = false;
  uint64_t real_size = 0;   // from the listing
  uint64_t used_bytes = 0;  // sealed blobs, and the pack's header
  uint64_t unused_bytes = 0;
  uint32_t used_blobs = 0;
  uint32_t unused_blobs = 0;
  bool has_trees = false;
  bool has_data = false;
  bool has_raw = false;  // a blob that is not compressed
  // An earlier prune has taken it out of the index; `mark_is_old`: long enough ago to remove it.
  bool marked = false;
  bool mark_is_old = false;
  // The storage will not let it go yet (object lock): it is neither removed nor repacked.
  bool locked = false;

  [[nodiscard]] uint64_t size() const { return used_bytes + unused_bytes; }
  [[nodiscard]] bool only_data() const { return has_data && !has_trees; }
};

// A pack that no index lists.
struct UnlistedPack {
  PackId id;
  uint64_t size_bytes = 0;
  bool only_mark = false;  // a program without locks may be about to list it: mark it for now
};

enum class PackFate : uint8_t {
  kKeep,
  kRepack,  // copy its used blobs, then remove it
  kRemove,
  kForget,   // it is gone already and not needed: take it out of the index
  kWait,     // marked, not for long enough yet
  kRecover,  // marked, but needed after all: back into the index
};

// Figures as `restic prune` reports them; bytes are sealed blobs with their headers.
struct PruneStatistics {
  struct Blobs {
    uint64_t used = 0;
    uint64_t duplicate = 0;
    uint64_t unused = 0;
    uint64_t remove = 0;
    uint64_t repack = 0;
    uint64_t repack_remove = 0;
  } blobs;
  struct Bytes {
    uint64_t used = 0;
    uint64_t duplicate = 0;
    uint64_t unused = 0;
    uint64_t remove = 0;
    uint64_t repack = 0;
    uint64_t repack_remove = 0;
    uint64_t unreferenced = 0;
    uint64_t uncompressed = 0;
    uint64_t locked = 0;  // unused bytes in locked packs
  } bytes;
  struct Packs {
    uint64_t used = 0;
    uint64_t partly_used = 0;
    uint64_t unused = 0;
    uint64_t unreferenced = 0;
    uint64_t keep = 0;
    uint64_t repack = 0;
    uint64_t remove = 0;
    uint64_t wait = 0;     // marked by an earlier prune; they stay for now
    uint64_t recover = 0;  // marked by an earlier prune, and needed after all
    uint64_t locked = 0;   // without use, but the storage will not let them go yet
  } packs;

  // Temporary files of writers that died (Storage::leftovers); in none of the sums.
  struct Leftovers {
    uint64_t files = 0;
    uint64_t bytes = 0;
  } leftovers;

  [[nodiscard]] uint64_t total_blobs() const { return blobs.used + blobs.unused + blobs.duplicate; }
  [[nodiscard]] uint64_t total_bytes() const {
    return bytes.used + bytes.duplicate + bytes.unused + bytes.unreferenced;
  }
  [[nodiscard]] uint64_t pruned_bytes() const {
    return bytes.remove + bytes.repack_remove + bytes.unreferenced;
  }
  [[nodiscard]] uint64_t unused_bytes_after() const {
    return bytes.duplicate + bytes.unused - bytes.remove - bytes.repack_remove;
  }
};

struct PrunePlan {
  std::vector<PackFate> fates;  // one for each pack given
  std::vector<UnlistedPack> unlisted;
  PruneStatistics statistics;
};

// `statistics` brings the counts of blobs (used, duplicate, unused), the rest is filled in. Throws
// Error{kDamaged} when a pack with used blobs is missing or has another size than its blobs:
// nothing may be removed from a repository that has lost something.
[[nodiscard]] PrunePlan decide_prune(std::span<const PackUse> packs,
                                     std::vector<UnlistedPack> unlisted, const PruneLimits& limits,
                                     PruneStatistics statistics);

}  // namespace salvor
