// The local cache: one directory a repository, named by the repository's id, under one root.
//
// Nothing in it is needed: it may be deleted at any time. The root holds a CACHEDIR.TAG, so that
// backup programs leave it out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/environment.h"
#include "cli/global_options.h"

namespace salvor::cli {

inline constexpr std::chrono::days kCacheMaxAge{30};

// --cache-dir, SALVOR_CACHE_DIR, salvor in XDG_CACHE_HOME, ~/.cache/salvor. RESTIC_CACHE_DIR is not
// looked at: what is in there is restic's. Throws Error{kUsage} when none of them is known.
[[nodiscard]] std::string cache_root(const GlobalOptions& options, const Environment& environment);

struct CacheEntry {
  std::string repository_id;  // 64 hexadecimal digits
  std::string path;
  WallTime last_used;
  uint64_t size_bytes = 0;
};

// The caches below `root`, last used first; none when the root does not exist. Other files are left
// alone. Walks over all files: their newest time is when the cache was last used.
[[nodiscard]] std::vector<CacheEntry> list_caches(const std::string& root);

[[nodiscard]] bool is_old(const CacheEntry& entry, WallTime now, std::chrono::days max_age);

// Removes one cache with all that is in it. Throws Error.
void remove_cache(const CacheEntry& entry);

}  // namespace salvor::cli
