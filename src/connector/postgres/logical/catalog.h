// What is in a database, as its catalog says: tables with their columns, keys and indexes,
// sequences, views to be refreshed, large objects. Read in one snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connector/postgres/connection.h"

namespace salvor::postgres {

struct CatalogTable {
  uint32_t oid = 0;
  std::string schema;
  std::string name;
  bool partitioned = false;  // a parent whose rows are in its partitions
  std::string extension;     // it is a table of settings of this extension
  std::string condition;     // which of its rows are ours: "WHERE ..."; from the extension
  uint64_t pages = 0;        // of its heap
  uint64_t bytes = 0;        // heap and TOAST
  bool readable = false;     // SELECT is granted
  bool filtered = false;     // row security would hide rows from this role
  bool unreachable = false;  // unlogged, and the server is a standby, which has no rows of it
  std::string owner;
  std::vector<std::string> columns;      // those that hold data of their own (not generated)
  std::vector<std::string> key_columns;  // primary key; empty: none
  std::string details;  // JSON: {"columns":[...],"constraints":[...],"indexes":[...]}

  [[nodiscard]] std::string display() const { return schema + "." + name; }
  [[nodiscard]] std::string quoted() const;
};

// Which tables; patterns with * and ?, of "table" (any schema) or "schema.table". Empty lists
// choose all.
struct TableChoice {
  std::vector<std::string> schemas;
  std::vector<std::string> exclude_schemas;
  std::vector<std::string> tables;
  std::vector<std::string> exclude_tables;

  [[nodiscard]] bool all() const;
  [[nodiscard]] bool includes(const std::string& schema, const std::string& table) const;
};

// `pattern` with * and ? against the whole of `text`.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);
// "schema.table" or "table", parts quoted or not, against one table.
[[nodiscard]] bool table_matches(std::string_view pattern, const std::string& schema,
                                 const std::string& table);

// All user tables that `choice` takes, largest first. Temporary and foreign tables have no data of
// this database.
[[nodiscard]] std::vector<CatalogTable> read_tables(const Context& context, Connection& connection,
                                                    const TableChoice& choice);

struct CatalogSequence {
  std::string schema;
  std::string name;
  std::string table;  // "schema.table" that owns it; empty: none
  std::string last_value;
  bool called = false;
  bool readable = false;
};

// Their values as of now: sequences know no snapshots. Read them after the rows, so that no row is
// ahead of its sequence.
[[nodiscard]] std::vector<CatalogSequence> read_sequences(const Context& context,
                                                          Connection& connection,
                                                          const TableChoice& choice);

// REFRESH commands of the populated materialized views, each after those that it reads.
[[nodiscard]] std::string refresh_script(const Context& context, Connection& connection,
                                         const TableChoice& choice);
// SQL that makes all large objects, empty; and what gives them their rights, comments and owners,
// to be run when their bytes are in. Both "" when there are none.
struct LargeObjectScripts {
  std::string create;
  std::string owners;
};
[[nodiscard]] LargeObjectScripts large_object_scripts(const Context& context,
                                                      Connection& connection);
// The database itself, with commands for its settings, rights and comment.
struct DatabaseFacts {
  std::string name;
  std::string owner;
  std::string encoding;
  std::string collate;
  std::string ctype;
  std::string provider;  // "libc", "icu", "builtin"
  std::string locale;    // of icu and builtin
  uint64_t bytes = 0;
  std::vector<std::string> settings;  // complete commands, the database written as {database}
};
[[nodiscard]] DatabaseFacts read_database(const Context& context, Connection& connection);

// Throws Error{kPermission} that names every table which cannot be read whole, and the right that
// is missing.
void require_readable(const std::vector<CatalogTable>& tables, const std::string& role,
                      int server_version);

}  // namespace salvor::postgres
