// Tells about pages with wrong checksums that a physical backup met.
#pragma once

#include "connector/postgres/backup_results.h"
#include "connector/postgres/connection.h"
#include "connector/source.h"

namespace salvor::postgres {

// Each damaged file goes to `sink` with its blocks and, if `sql` (may be null: a connection to any
// database of `target`) can find it out, the relation's name. `server_found`: the server itself
// said that there is damage.
void report_damage(const Context& context, TreeSink& sink, const BackupResults& results,
                   bool server_found, const ConnectionTarget& target, Connection* sql);

}  // namespace salvor::postgres
