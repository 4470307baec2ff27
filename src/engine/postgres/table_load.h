// Restores single tables from a logical backup, all of them in one transaction.
//
// Under their own names: the rows of a table that is there are replaced, a table that is missing is
// made again as it was, with keys, indexes, triggers, policies and rights. Foreign keys from and to
// the replaced tables are taken off and put back, which checks them; triggers do not fire;
// sequences are moved forward only. Partitions that a replaced table got since are emptied. Under
// new names (another schema, or renamed): plain tables with
// columns, keys, checks and indexes, to look at and to copy from.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/restore/dump_view.h"

namespace salvor {

struct TableLoadOptions {
  postgres::ConnectionTarget target;
  postgres::TableChoice choice;
  std::string into_schema;                     // empty: their own
  std::map<std::string, std::string> renamed;  // "orders" or "shop.orders" -> "orders_old"
  std::string client_programs;                 // for tables that are missing
  bool no_owner = false;
  bool no_privileges = false;
  std::function<void(const std::string&)> on_step;
};

// A partition of a live table.
struct LivePartition {
  std::string schema;
  std::string name;
  uint64_t rows = 0;  // counted

  [[nodiscard]] std::string display() const { return schema + "." + name; }
  [[nodiscard]] std::string quoted() const;
};

struct TableImpact {
  const postgres::DumpTable* table = nullptr;
  std::string target;  // "schema.table"
  bool exists = false;
  uint64_t rows_now = 0;  // counted
  // Of a partitioned table: partitions that were made since the backup. They are emptied: the table
  // had no such rows then.
  std::vector<LivePartition> made_since = {};

  // Whether rows are lost that are there now.
  [[nodiscard]] bool destroys() const;
};

struct TableLoadResult {
  uint64_t tables = 0;
  uint64_t rows = 0;
  uint64_t created = 0;
  std::vector<std::string> warnings;
};

class TableLoader {
 public:
  TableLoader(const DumpView& dump, TableLoadOptions options)
      : dump_(dump), options_(std::move(options)) {}

  // Reads only: what would be replaced. Throws when a table of the choice cannot be restored
  // (columns of other types, a new name that is taken).
  [[nodiscard]] std::vector<TableImpact> examine(const Context& context);
  // Throws Error when anything fails; nothing is changed then.
  [[nodiscard]] TableLoadResult run(const Context& context);

 private:
  [[nodiscard]] bool elsewhere() const {
    return !options_.into_schema.empty() || !options_.renamed.empty();
  }
  void step(const std::string& text) const;
  void choose();
  [[nodiscard]] std::string target_schema(const postgres::DumpTable& table) const;
  [[nodiscard]] std::string target_name(const postgres::DumpTable& table) const;
  [[nodiscard]] std::string quoted_target(const postgres::DumpTable& table) const;
  void require_columns(const Context& context, postgres::Connection& connection,
                       const postgres::DumpTable& table) const;
  void require_rows(const TableImpact& impact) const;
  void find_lost_schemas(const Context& context, postgres::Connection& connection);
  [[nodiscard]] std::vector<LivePartition> partitions_of(const Context& context,
                                                         postgres::Connection& connection,
                                                         const postgres::DumpTable& table) const;
  void find_new_partitions(const Context& context, postgres::Connection& connection);
  [[nodiscard]] std::vector<std::string> lock_new_partitions(
      const Context& context, postgres::Connection& connection) const;
  void replace(const Context& context, postgres::Connection& connection, TableLoadResult& result);
  void create_missing(const Context& context, postgres::Connection& connection,
                      const std::string& section, TableLoadResult& result);
  void copy_elsewhere(const Context& context, postgres::Connection& connection,
                      TableLoadResult& result);
  void load_rows(const Context& context, postgres::Connection& connection,
                 const postgres::DumpTable& table, TableLoadResult& result);
  void attach_lost_keys(const Context& context, postgres::Connection& connection,
                        TableLoadResult& result) const;
  void advance_sequences(const Context& context, postgres::Connection& connection) const;

  const DumpView& dump_;
  const TableLoadOptions options_;
  std::vector<TableImpact> tables_;
  std::set<std::string> lost_schemas_;
  std::vector<std::string> left_alone_;  // live partitions of which the backup knows nothing
};

// Which of `live`, the partitions that `table` has now, were made since the backup. `chosen`: the
// tables that are restored, as DumpTable::display. None when the backup holds a choice of tables
// only: it cannot tell a partition that is new from one that was left out. Throws Error{kFailed}
// for a partition that was a table of its own then, and is not restored.
[[nodiscard]] std::vector<LivePartition> partitions_made_since(
    const postgres::DumpManifest& manifest, const std::set<std::string>& chosen,
    const postgres::DumpTable& table, const std::vector<LivePartition>& live);

// Foreign keys that begin or end at some tables, taken off for a while. Their definitions are the
// server's own words.
class DetachedForeignKeys {
 public:
  // `tables`: quoted names. Drops them.
  DetachedForeignKeys(const Context& context, postgres::Connection& connection,
                      const std::vector<std::string>& tables);
  // Puts them back, which checks every row; checks that were put off are made before. Throws Error
  // that names the tables when rows contradict.
  void attach(const Context& context, postgres::Connection& connection) const;

 private:
  struct Key {
    std::string table;
    std::string name;  // quoted
    std::string definition;
  };
  std::vector<Key> keys_;
};

// User triggers of some tables and of all that inherit from them (a row that goes to a partitioned
// table fires those of its partition), switched off for a while and put back as they were.
class SilencedTriggers {
 public:
  SilencedTriggers(const Context& context, postgres::Connection& connection,
                   const std::vector<std::string>& tables);
  // Checks that were put off to the end of the transaction are made here: a table with such a one
  // cannot be altered.
  void restore(const Context& context, postgres::Connection& connection) const;

 private:
  std::vector<std::string> commands_;
};

}  // namespace salvor
