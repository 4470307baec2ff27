// manifest.json of a logical backup: what is in it and where.
//
// The layout of such a snapshot (format 1, described in docs/postgres-logical.md; do not change):
//   manifest.json
//   restore.sql                          for psql: restores all of it
//   schema/pre-data.sql, post-data.sql   tables, types, functions; then keys, indexes, triggers
//   schema/sequences.sql, refresh.sql, database.sql, roles.sql
//   schema/archive.dump                  the same for pg_restore
//   data/<schema>.<table>/000000.copy    rows as COPY writes them (text), in parts
//   large-objects/create.sql, owners.sql
//   large-objects/000000.copy            oid, offset, bytes
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "connector/postgres/logical/catalog.h"

namespace salvor::postgres {

inline constexpr int kDumpFormat = 1;
inline constexpr const char* kManifestFile = "manifest.json";

struct DumpPart {
  std::string file;  // in the table's directory
  uint64_t rows = 0;
  uint64_t bytes = 0;
};

struct DumpColumn {
  std::string name;
  std::string type;  // "numeric(10,2)", "public.mood"
  bool not_null = false;
  std::string default_expression;  // also the expression of a generated column; empty: none
  std::string identity;            // "a" always, "d" by default, "" none
  std::string generated;           // "s" stored, "v" virtual, "" none
  std::string collation;           // other than its type's; quoted
};

struct DumpConstraint {
  std::string name;
  char kind = 'c';         // pg_constraint.contype: p u c x f
  std::string definition;  // pg_get_constraintdef
  std::string references;  // "schema.table" of a foreign key
};

struct DumpIndex {
  std::string name;
  std::string definition;  // pg_get_indexdef
};

struct DumpTable {
  std::string schema;
  std::string name;
  std::string owner;
  std::string directory;  // below data/
  std::string extension;
  bool partitioned = false;
  std::string partition_of;  // "schema.table"; empty: none
  uint64_t rows = 0;
  std::vector<std::string> columns;  // those in the files, in their order
  std::vector<std::string> key;      // primary key
  std::vector<DumpPart> parts;
  std::string details =
      "{}";  // JSON of the next three and partition_of, as it came from the server
  std::vector<DumpColumn> all_columns;
  std::vector<DumpConstraint> constraints;
  std::vector<DumpIndex> indexes;

  [[nodiscard]] std::string display() const { return schema + "." + name; }
  [[nodiscard]] std::string quoted() const;
  // It is known, its rows are not: it was unlogged, and the server a standby.
  [[nodiscard]] bool without_rows() const { return !partitioned && parts.empty(); }
  [[nodiscard]] const DumpColumn* column(const std::string& wanted) const;
};

struct DumpManifest {
  int server_version = 0;
  DatabaseFacts database;
  std::string server;  // host or name
  WallTime time;       // the server's clock at the snapshot
  std::string wal_position;
  std::string order;  // "physical" or "key"
  bool has_schema = false;
  bool complete = true;  // no table was left out by choice
  std::vector<DumpTable> tables;
  std::vector<CatalogSequence> sequences;
  uint64_t large_objects = 0;      // objects
  uint64_t large_object_rows = 0;  // rows of large-objects/000000.copy
};

[[nodiscard]] std::string to_json(const DumpManifest& manifest);
// Throws Error{kDamaged}; Error{kFailed} for a newer format.
[[nodiscard]] DumpManifest parse_dump_manifest(ByteView json);

// What the catalog says about a table, `details` read; without parts. Throws Error{kDamaged}.
[[nodiscard]] DumpTable describe_table(const CatalogTable& table);

// The name of a table's directory: "schema.table" with what a file name cannot hold written %XX.
[[nodiscard]] std::string table_directory(const std::string& schema, const std::string& table,
                                          uint32_t oid);

}  // namespace salvor::postgres
