// A PostgreSQL cluster as a Store: physical backups and, with its log, any moment.
//
// Settings: engine/store_kinds.cc. c of a backup is the instant at which it is consistent (its
// stop); the log moves it on. A restore goes into `data-directory`, or the directory that the order
// names; that one is a copy whose settings get archive_mode = off where the source says what its
// own directory is. It ends promoted, checked and stopped. When it fails after old data was moved
// aside, that data is put back at once.
//
// Assertions are SQL statements that must give true, asked in the URL's database.
#pragma once

#include "cli/stores/store_site.h"
#include "connector/postgres/connection.h"
#include "engine/postgres/postgres_restore.h"

namespace salvor::cli {

[[nodiscard]] std::unique_ptr<Store> make_postgres_store(const StoreSite& site,
                                                         const SourceSpec& source);

// What the source's `url` says; libpq's own environment when it says nothing.
[[nodiscard]] postgres::ConnectionTarget source_target(const StoreSite& site,
                                                       const SourceSpec& source);
// The database of the assertions.
[[nodiscard]] std::string source_database(const StoreSite& site, const SourceSpec& source);

// The server answers, and the source's assertions hold there.
[[nodiscard]] std::vector<CheckResult> check_server(const StoreSite& site, const Context& context,
                                                    const SourceSpec& source);

// How any restore of the source runs, but for where to.
[[nodiscard]] PostgresRestoreOptions common_options(const SourceSpec& source,
                                                    const RestoreOrder& order);

}  // namespace salvor::cli
