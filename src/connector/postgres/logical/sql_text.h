// SQL made from what a backup says about its tables, and pieces of what the server and pg_restore
// print. Pure.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "connector/postgres/logical/dump_manifest.h"

namespace salvor::postgres {

// CREATE TABLE for a plain copy of `table` under another name: columns, NOT NULL, defaults that
// need no sequence, generated and identity columns.
[[nodiscard]] std::string create_table_sql(const DumpTable& table, const std::string& target);
// The defaults that it leaves out: "id: nextval(...)".
[[nodiscard]] std::vector<std::string> left_out_defaults(const DumpTable& table);

// "CREATE UNIQUE INDEX name ON public.t USING btree (a)" for `target`, its name left to the server.
// Nothing when the text is none of the server's.
[[nodiscard]] std::optional<std::string> index_for(std::string_view definition,
                                                   const std::string& target);

// The lines of `pg_restore --list` that make these tables again: the tables themselves with
// sequences, defaults, keys, indexes, triggers, policies, rights and comments, each as a whole
// line.
[[nodiscard]] std::string table_of_contents_for(std::string_view list,
                                                const std::vector<const DumpTable*>& tables,
                                                const std::vector<CatalogSequence>& sequences);
// The lines of whole schemas: the schemas themselves and all that is in them.
[[nodiscard]] std::string table_of_contents_for_schema(std::string_view list,
                                                       const std::set<std::string>& schemas);

// The lines of `list` that are in any of `choices`, in the list's own order, which is the order in
// which things can be made.
[[nodiscard]] std::string in_order_of(std::string_view list,
                                      const std::vector<std::string>& choices);

// A script of pg_restore without psql's \restrict and \unrestrict, which a server does not
// understand.
[[nodiscard]] std::string without_restrict(std::string_view script);
// A script of pg_restore without what the server of that version (150018 for 15.18) does not know:
// pg_restore 17 and later begin every script with a setting that only servers from 17 on have.
[[nodiscard]] std::string without_newer_settings(std::string_view script, int server_version);
// Both: as such a server takes it from a connection.
[[nodiscard]] std::string as_statements(std::string_view script, int server_version);

}  // namespace salvor::postgres
