// How far a WAL segment's records go, and at what times they were made, as far as they say:
// commits, aborts and checkpoints carry the server's clock.
//
// Sources: access/xlogrecord.h (a record's header and its parts), access/xlog_internal.h (page
// headers), access/xact.h and catalog/pg_control.h (where the time stands). The layout is the same
// from 13 to 18.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

struct WalTimes {
  std::optional<WallTime> last_commit;  // of a transaction
  // The latest that any record says: what was committed until then is in the log before it.
  std::optional<WallTime> latest;
  std::optional<Lsn> last_record;  // where the last one begins
};

// Reads the records that begin in one segment and before `end`, up to the first that is not whole
// (its checksum is wrong, or there is none: the rest of an unfinished segment is zeros). `next` is
// the segment behind it, into which the last record may run: without it that one counts as not
// whole. Throws Error{kDamaged} when `segment` is none.
[[nodiscard]] WalTimes wal_times(ByteView segment, ByteView next = {}, std::optional<Lsn> end = {});

}  // namespace salvor::postgres
