// restore_command: recovery asks for one WAL file after the other; we bring it and those behind it.
//
// "There is no such file" ends recovery and starts the server, so it may be said only when it is
// certain: the repository was opened, the archive has no such object, and nothing in it shows that
// there was one (WalArchive::fetch_for_recovery). Everything else must stop recovery.
#pragma once

#include <string>

#include "engine/postgres/wal_archive.h"

namespace salvor {

struct WalFetchOptions {
  std::string name;         // %f
  std::string destination;  // %p
  unsigned ahead = 8;       // segments to bring with it
  unsigned threads = 2;
};

enum class WalFetched : uint8_t { kRestored, kAbsent };

// A file that an earlier call brought ahead, put in place; false when there is none. Needs no
// repository.
[[nodiscard]] bool take_prefetched(const WalFetchOptions& options, uint64_t system_identifier,
                                   postgres::SegmentSize segment_size);

// Throws Error{kDamaged} for a hole in the archive and for damaged objects.
[[nodiscard]] WalFetched fetch_wal(const Context& context, const WalArchive& archive,
                                   const WalFetchOptions& options);

// Removes what was brought ahead and not used, of the data directory that `destination` is in.
void remove_prefetched(const std::string& destination);

}  // namespace salvor
