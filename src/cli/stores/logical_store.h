// One PostgreSQL database as a Store by logical backups: all that it needs is a connection.
//
// A whole restore goes into a new database beside the one that is there, is counted, and only then
// gets the name; the old database is kept under another name until `discard_old` or `put_back`
// (kMoveAside), dropped when the new one has taken its place (kOverwrite), or refused (kRefuse). A
// selection ("orders", "public.user*") restores tables, in one transaction; what is replaced was
// backed up before, as a labelled snapshot of its own, kept for seven days (kMoveAside).
//
// The target of an order: "url", a reference to a connection URL (the text itself is refused: where
// a restore went is written down, for its undo); "database", another one on the source's server. c
// of a backup is the instant that it shows, by the server's clock.
#pragma once

#include "cli/stores/store_site.h"
#include "engine/restore/dump_view.h"

namespace salvor::cli {

[[nodiscard]] std::unique_ptr<Store> make_logical_store(const StoreSite& site,
                                                        const SourceSpec& source);

// The source's logical backups, newest last.
[[nodiscard]] std::vector<StoredSnapshot> logical_snapshots(const StoreSite& site,
                                                            const Context& context,
                                                            const Repository& repository,
                                                            const SourceSpec& source);
// The instant that a logical backup shows.
[[nodiscard]] WallTime captured_by_dump(const StoredSnapshot& stored);

// Whether a target's text is a connection (a URL, key=value pairs) rather than a database's name.
[[nodiscard]] bool names_connection(const std::string& target);

// The folder of pg_dump and pg_restore that the source names; empty: looked for.
[[nodiscard]] std::string client_programs_of(const SourceSpec& source);

}  // namespace salvor::cli
