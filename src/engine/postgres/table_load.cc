#include "engine/postgres/table_load.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/format.h"
#include "connector/postgres/logical/client_tools.h"
#include "connector/postgres/logical/snapshot_session.h"
#include "connector/postgres/logical/sql_text.h"
#include "model/count_text.h"

namespace salvor {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::DumpTable;

constexpr std::chrono::seconds kLockTimeout{30};

// An array of regclass literals for a query.
std::string regclass_list(const Connection& connection, const std::vector<std::string>& tables) {
  std::string list;
  for (const std::string& table : tables) {
    list += (list.empty() ? "" : ", ") + connection.quote_literal(table) + "::regclass";
  }
  return list;
}

// Deferred constraints are checked now.
void check_deferred(const Context& context, Connection& connection) {
  static_cast<void>(connection.run(context, "SET CONSTRAINTS ALL IMMEDIATE"));
}

bool table_exists(const Context& context, Connection& connection, const std::string& quoted) {
  return connection
      .run(context, "SELECT pg_catalog.to_regclass(" + connection.quote_literal(quoted) + ")")
      .rows[0][0]
      .has_value();
}

}  // namespace

// ---- foreign keys and triggers

DetachedForeignKeys::DetachedForeignKeys(const Context& context, Connection& connection,
                                         const std::vector<std::string>& tables) {
  if (tables.empty()) {
    return;
  }
  const std::string list = regclass_list(connection, tables);
  // A partition's key is its parent's: only the topmost can be dropped.
  const auto found = connection.run(
      context,
      "WITH RECURSIVE k AS (SELECT oid, conparentid FROM pg_catalog.pg_constraint WHERE contype = "
      "'f' "
      "AND (conrelid = ANY (ARRAY[" +
          list + "]) OR confrelid = ANY (ARRAY[" + list +
          "])) UNION SELECT c.oid, c.conparentid FROM pg_catalog.pg_constraint c JOIN k ON c.oid = "
          "k.conparentid) SELECT c.conrelid::regclass, pg_catalog.quote_ident(c.conname), "
          "pg_catalog.pg_get_constraintdef(c.oid) FROM k JOIN pg_catalog.pg_constraint c USING "
          "(oid) "
          "WHERE k.conparentid = 0 ORDER BY 1, 2");
  for (const auto& row : found.rows) {
    keys_.push_back({row[0].value_or(""), row[1].value_or(""), row[2].value_or("")});
    static_cast<void>(connection.run(
        context, "ALTER TABLE " + keys_.back().table + " DROP CONSTRAINT " + keys_.back().name));
  }
}

void DetachedForeignKeys::attach(const Context& context, Connection& connection) const {
  if (!keys_.empty()) {
    check_deferred(context, connection);
  }
  for (const Key& key : keys_) {
    try {
      static_cast<void>(connection.run(context, "ALTER TABLE " + key.table + " ADD CONSTRAINT " +
                                                    key.name + " " + key.definition));
    } catch (const postgres::ServerError& error) {
      if (error.state() != "23503") {
        throw;
      }
      throw Error(
          ErrorCode::kFailed,
          "rows of " + key.table + " would refer to rows that are not there: " + error.message(),
          "Nothing was changed. Restore the tables that belong together at once, or put the "
          "old rows beside the new ones (--rename) and copy what is needed.");
    }
  }
}

SilencedTriggers::SilencedTriggers(const Context& context, Connection& connection,
                                   const std::vector<std::string>& tables) {
  if (tables.empty()) {
    return;
  }
  // A partition has a trigger of its parent as one of its own, which 13 and 14 call internal, as
  // they do those of foreign keys. A constraint of kind "t" is a user's trigger. Parents first.
  const auto found = connection.run(
      context,
      "WITH RECURSIVE kin AS (SELECT oid::oid FROM unnest(ARRAY[" +
          regclass_list(connection, tables) +
          "]) AS chosen(oid) UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN kin ON "
          "i.inhparent = kin.oid) SELECT t.tgrelid::regclass, pg_catalog.quote_ident(t.tgname), "
          "t.tgenabled FROM pg_catalog.pg_trigger t JOIN kin ON kin.oid = t.tgrelid WHERE (NOT "
          "t.tgisinternal OR t.tgparentid <> 0 AND NOT EXISTS (SELECT FROM "
          "pg_catalog.pg_constraint c WHERE c.oid = t.tgconstraint AND c.contype <> 't')) AND "
          "(t.tgenabled <> 'D' OR t.tgparentid <> 0) ORDER BY t.tgparentid <> 0, t.oid");
  bool any = false;
  for (const auto& row : found.rows) {
    const std::string alter = "ALTER TABLE ONLY " + row[0].value_or("");
    const std::string name = " TRIGGER " + row[1].value_or("");
    const std::string state = row[2].value_or("O");
    if (state == "D") {
      // Before 13.8 and 14.5, ONLY or not, a parent's is switched on with all of its partitions'.
      commands_.push_back(alter + " DISABLE" + name);
      continue;
    }
    any = true;
    static_cast<void>(connection.run(context, alter + " DISABLE" + name));
    commands_.push_back(alter + " ENABLE" +
                        (state == "R"   ? " REPLICA"
                         : state == "A" ? " ALWAYS"
                                        : "") +
                        name);
  }
  if (!any) {
    commands_.clear();
  }
}

void SilencedTriggers::restore(const Context& context, Connection& connection) const {
  if (!commands_.empty()) {
    check_deferred(context, connection);
  }
  for (const std::string& command : commands_) {
    static_cast<void>(connection.run(context, command));
  }
}

// ---- partitions

std::string LivePartition::quoted() const {
  return Connection::quote_identifier(schema) + "." + Connection::quote_identifier(name);
}

bool TableImpact::destroys() const {
  return exists &&
         (rows_now > 0 || std::any_of(made_since.begin(), made_since.end(),
                                      [](const LivePartition& one) { return one.rows > 0; }));
}

std::vector<LivePartition> partitions_made_since(const postgres::DumpManifest& manifest,
                                                 const std::set<std::string>& chosen,
                                                 const DumpTable& table,
                                                 const std::vector<LivePartition>& live) {
  std::vector<LivePartition> made;
  for (const LivePartition& one : live) {
    if (!manifest.complete || chosen.contains(one.display())) {
      continue;
    }
    const bool known =
        std::any_of(manifest.tables.begin(), manifest.tables.end(), [&](const DumpTable& other) {
          return other.schema == one.schema && other.name == one.name;
        });
    if (known) {
      throw Error(ErrorCode::kFailed,
                  "table " + one.display() + " has become a partition of " + table.display() +
                      " since the backup",
                  "Restore both (--table " + table.display() + " --table " + one.display() +
                      "), or detach it first. Nothing was changed.");
    }
    made.push_back(one);
  }
  return made;
}

// Those with rows of their own in this database, as a backup would hold them.
std::vector<LivePartition> TableLoader::partitions_of(const Context& context,
                                                      Connection& connection,
                                                      const DumpTable& table) const {
  std::vector<LivePartition> live;
  const auto found = connection.run(
      context, "SELECT n.nspname, c.relname FROM pg_catalog.pg_partition_tree(" +
                   connection.quote_literal(table.quoted()) +
                   "::regclass) t JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN "
                   "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND "
                   "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = "
                   "'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER "
                   "BY 1, 2");
  for (const auto& row : found.rows) {
    live.push_back({.schema = row[0].value_or(""), .name = row[1].value_or("")});
  }
  return live;
}

void TableLoader::find_new_partitions(const Context& context, Connection& connection) {
  std::set<std::string> known;
  for (const TableImpact& impact : tables_) {
    known.insert(impact.table->display());
  }
  left_alone_.clear();
  for (TableImpact& impact : tables_) {
    if (!impact.exists || !impact.table->partitioned) {
      continue;
    }
    const std::vector<LivePartition> live = partitions_of(context, connection, *impact.table);
    impact.made_since = partitions_made_since(dump_.manifest(), known, *impact.table, live);
    for (LivePartition& one : impact.made_since) {
      one.rows = std::stoull(
          connection.run(context, "SELECT count(*) FROM ONLY " + one.quoted()).text(0, 0));
      known.insert(one.display());  // the table between, if there is one, has it, too
    }
    for (const LivePartition& one : live) {
      if (known.insert(one.display()).second) {
        left_alone_.push_back(one.display());
      }
    }
  }
}

// Those that were shown, quoted. Their table is locked, and they are with it.
std::vector<std::string> TableLoader::lock_new_partitions(const Context& context,
                                                          Connection& connection) const {
  std::set<std::string> shown(left_alone_.begin(), left_alone_.end());
  std::vector<std::string> quoted;
  for (const TableImpact& impact : tables_) {
    shown.insert(impact.table->display());
    for (const LivePartition& one : impact.made_since) {
      shown.insert(one.display());
      quoted.push_back(one.quoted());
    }
  }
  for (const TableImpact& impact : tables_) {
    if (!impact.exists || !impact.table->partitioned) {
      continue;
    }
    std::set<std::string> there;
    for (const LivePartition& one : partitions_of(context, connection, *impact.table)) {
      there.insert(one.display());
      if (!shown.contains(one.display())) {
        throw Error(ErrorCode::kFailed,
                    "table " + impact.table->display() + " has got the partition " + one.display() +
                        " since it was shown",
                    "Nothing was changed. Look again.");
      }
    }
    for (const LivePartition& one : impact.made_since) {
      if (!there.contains(one.display())) {
        throw Error(ErrorCode::kFailed,
                    one.display() + " is no partition of " + impact.table->display() +
                        " any more since it was shown",
                    "Nothing was changed. Look again.");
      }
    }
  }
  return quoted;
}

// ---- tables

void TableLoader::step(const std::string& text) const {
  if (options_.on_step) {
    options_.on_step(text);
  }
}

void TableLoader::choose() {
  tables_.clear();
  std::set<std::string> chosen;
  const std::vector<DumpTable>& all = dump_.manifest().tables;
  for (const DumpTable& table : all) {
    if (options_.choice.includes(table.schema, table.name)) {
      chosen.insert(table.display());
    }
  }
  // A partitioned table's rows are in its partitions, which may be partitioned themselves.
  for (size_t before = 0; before != chosen.size();) {
    before = chosen.size();
    for (const DumpTable& table : all) {
      if (!table.partition_of.empty() && chosen.contains(table.partition_of)) {
        chosen.insert(table.display());
      }
    }
  }
  for (const DumpTable& table : all) {
    if (chosen.contains(table.display())) {
      tables_.push_back({&table, target_schema(table) + "." + target_name(table), false, 0});
    }
  }
  if (tables_.empty()) {
    throw Error(ErrorCode::kNotFound, "no table in the backup matches what was chosen",
                "`salvor ls " + dump_.stored().id.short_hex() + " /data` lists them.");
  }
}

std::string TableLoader::target_schema(const DumpTable& table) const {
  return options_.into_schema.empty() ? table.schema : options_.into_schema;
}

std::string TableLoader::target_name(const DumpTable& table) const {
  auto found = options_.renamed.find(table.display());
  if (found == options_.renamed.end()) {
    found = options_.renamed.find(table.name);
  }
  return found == options_.renamed.end() ? table.name : found->second;
}

std::string TableLoader::quoted_target(const DumpTable& table) const {
  return Connection::quote_identifier(target_schema(table)) + "." +
         Connection::quote_identifier(target_name(table));
}

// What would take the place of rows is nothing, which is not what the table held.
void TableLoader::require_rows(const TableImpact& impact) const {
  if (!impact.table->without_rows()) {
    return;
  }
  step("the backup has no rows of " + impact.table->display() + ", an unlogged table of a standby");
  if (impact.rows_now > 0) {
    throw Error(
        ErrorCode::kFailed,
        fmt::format("the backup has no rows of {}, which holds {} now: it was unlogged, and "
                    "the server a standby",
                    impact.table->display(), counted(impact.rows_now, "row")),
        "Nothing was changed. Leave it out, or load a backup of the primary.");
  }
}

void TableLoader::require_columns(const Context& context, Connection& connection,
                                  const DumpTable& table) const {
  std::map<std::string, std::string> live;
  for (const auto& row :
       connection
           .run(context,
                "SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM "
                "pg_catalog.pg_attribute WHERE attnum > 0 AND NOT attisdropped AND "
                "attgenerated = '' AND attrelid = " +
                    connection.quote_literal(table.quoted()) + "::regclass")
           .rows) {
    live[row[0].value_or("")] = row[1].value_or("");
  }
  std::string trouble;
  for (const std::string& name : table.columns) {
    const postgres::DumpColumn* column = table.column(name);
    const auto found = live.find(name);
    if (found == live.end()) {
      trouble += (trouble.empty() ? "" : ", ") + name + " is gone";
    } else if (column != nullptr && found->second != column->type) {
      trouble += (trouble.empty() ? "" : ", ") + name + " was " + column->type + " and is " +
                 found->second;
    }
  }
  if (!trouble.empty()) {
    throw Error(ErrorCode::kFailed,
                "table " + table.display() + " has changed since the backup: " + trouble,
                "Put the old rows beside it (--rename " + table.name + "=" + table.name +
                    "_old) and copy what is needed, or restore the whole database under another "
                    "name.");
  }
}

std::vector<TableImpact> TableLoader::examine(const Context& context) {
  choose();
  Connection connection(context, options_.target, ConnectionMode::kSql);
  postgres::set_stable_session(context, connection, kLockTimeout);
  bool missing = false;
  for (TableImpact& impact : tables_) {
    const DumpTable& table = *impact.table;
    impact.exists = table_exists(context, connection, quoted_target(table));
    if (impact.exists && elsewhere()) {
      throw Error(ErrorCode::kFailed, "there is a table " + impact.target + " already",
                  "Choose another name or schema, or drop it first.");
    }
    if (impact.exists && !table.partitioned) {
      require_columns(context, connection, table);
      impact.rows_now = std::stoull(
          connection.run(context, "SELECT count(*) FROM ONLY " + table.quoted()).text(0, 0));
    }
    require_rows(impact);
    missing = missing || !impact.exists;
  }
  find_lost_schemas(context, connection);
  if (!elsewhere()) {
    find_new_partitions(context, connection);
  }
  if (missing && !elsewhere() && !dump_.manifest().has_schema) {
    throw Error(ErrorCode::kFailed,
                "the backup holds no schema (--no-schema), and a chosen table is missing",
                "Make the table first, or restore it as a plain table with --rename or "
                "--into-schema.");
  }
  return tables_;
}

// Schemas of which nothing is left, and all of whose tables are to be restored: their views,
// functions and types come back, too.
void TableLoader::find_lost_schemas(const Context& context, Connection& connection) {
  lost_schemas_.clear();
  if (elsewhere()) {
    return;
  }
  for (const TableImpact& impact : tables_) {
    const std::string& schema = impact.table->schema;
    const bool there = connection
                           .run(context, "SELECT FROM pg_catalog.pg_namespace WHERE nspname = " +
                                             connection.quote_literal(schema))
                           .rows.size() == 1;
    const auto left_out = [&](const DumpTable& table) {
      return table.schema == schema &&
             std::none_of(tables_.begin(), tables_.end(),
                          [&](const TableImpact& one) { return one.table == &table; });
    };
    const std::vector<DumpTable>& all = dump_.manifest().tables;
    if (!there && std::any_of(all.begin(), all.end(), left_out)) {
      throw Error(ErrorCode::kFailed, "there is no schema " + schema,
                  "Restore all of it (--schema " + schema + "), or make it first.");
    }
    if (!there) {
      lost_schemas_.insert(schema);
    }
  }
}

void TableLoader::load_rows(const Context& context, Connection& connection, const DumpTable& table,
                            TableLoadResult& result) {
  try {
    const std::string target = quoted_target(table);
    for (const postgres::DumpPart& part : table.parts) {
      copy_part(context, connection,
                copy_in_command(target, table.columns, dump_.manifest().database.encoding), dump_,
                table, part);
    }
    if (table.partitioned) {
      return;
    }
    const uint64_t found =
        std::stoull(connection.run(context, "SELECT count(*) FROM ONLY " + target).text(0, 0));
    if (found != table.rows && table.extension.empty()) {
      throw Error(ErrorCode::kFailed,
                  fmt::format("{} rows are there, the backup has {}", found, table.rows));
    }
    result.rows += found;
    ++result.tables;
  } catch (Error& error) {
    throw error.within("table " + table.display());
  }
}

// Makes tables that are not there, one section of their schema at a time.
void TableLoader::create_missing(const Context& context, Connection& connection,
                                 const std::string& section, TableLoadResult& result) {
  std::vector<const DumpTable*> missing;
  for (const TableImpact& impact : tables_) {
    if (!impact.exists) {
      missing.push_back(impact.table);
    }
  }
  if (missing.empty()) {
    return;
  }
  const std::string archive = dump_.text(context, "/schema/archive.dump").value_or("");
  const std::string program =
      postgres::find_restore_tools(options_.client_programs, as_bytes(archive),
                                   dump_.manifest().server_version) +
      "/pg_restore";
  const Buffer list = postgres::run_tool(
      context, {.program = program, .arguments = {"--list"}, .input = as_bytes(archive)});
  const std::string chosen = postgres::in_order_of(
      as_text(list.view()),
      {postgres::table_of_contents_for(as_text(list.view()), missing, dump_.manifest().sequences),
       postgres::table_of_contents_for_schema(as_text(list.view()), lost_schemas_)});
  const postgres::ToolFile entries(chosen);
  std::vector<std::string> arguments{"--section=" + section, "--file=-",
                                     "--use-list=" + entries.path()};
  if (options_.no_owner) {
    arguments.emplace_back("--no-owner");
  }
  if (options_.no_privileges) {
    arguments.emplace_back("--no-privileges");
  }
  const Buffer script = postgres::run_tool(context, {.program = program,
                                                     .arguments = std::move(arguments),
                                                     .input = as_bytes(archive),
                                                     .file = &entries});
  static_cast<void>(connection.run(
      context, postgres::as_statements(as_text(script.view()), connection.server_version())));
  postgres::set_stable_session(context, connection, kLockTimeout);
  if (section == "pre-data") {
    result.created += missing.size();
  }
}

void TableLoader::replace(const Context& context, Connection& connection, TableLoadResult& result) {
  std::vector<std::string> existing;
  for (const TableImpact& impact : tables_) {
    if (impact.exists) {
      existing.push_back(impact.table->quoted());
    }
  }
  if (!existing.empty()) {
    std::string list;
    for (const std::string& table : existing) {
      list += (list.empty() ? "" : ", ") + table;
    }
    static_cast<void>(connection.run(context, "LOCK TABLE " + list + " IN ACCESS EXCLUSIVE MODE"));
  }
  const std::vector<std::string> emptied = lock_new_partitions(context, connection);
  for (const std::string& partition : left_alone_) {
    result.warnings.push_back("partition " + printable(partition) +
                              " is not in this backup of chosen tables: it keeps its rows");
  }
  existing.insert(existing.end(), emptied.begin(), emptied.end());
  create_missing(context, connection, "pre-data", result);
  const DetachedForeignKeys keys(context, connection, existing);
  const SilencedTriggers triggers(context, connection, existing);
  for (const std::string& partition : emptied) {
    step("partition " + partition + ", made since the backup, is emptied");
    static_cast<void>(connection.run(context, "TRUNCATE ONLY " + partition));
  }
  for (const TableImpact& impact : tables_) {
    step("table " + impact.target);
    if (impact.exists && !impact.table->partitioned) {
      static_cast<void>(connection.run(context, "TRUNCATE ONLY " + impact.table->quoted()));
    }
    load_rows(context, connection, *impact.table, result);
  }
  triggers.restore(context, connection);
  create_missing(context, connection, "post-data", result);
  step("foreign keys");
  keys.attach(context, connection);
  attach_lost_keys(context, connection, result);
  advance_sequences(context, connection);
}

// Foreign keys to tables that were made anew: they went with the tables (DROP ... CASCADE). Those
// of restored tables come back; of others they are only told, for their rows may not fit.
void TableLoader::attach_lost_keys(const Context& context, Connection& connection,
                                   TableLoadResult& result) const {
  std::set<std::string> made;
  std::set<std::string> restored;
  for (const TableImpact& impact : tables_) {
    (impact.exists ? restored : made).insert(impact.table->display());
  }
  for (const DumpTable& table : dump_.manifest().tables) {
    for (const postgres::DumpConstraint& key : table.constraints) {
      if (key.kind != 'f' || !made.contains(key.references) || made.contains(table.display()) ||
          !table_exists(context, connection, table.quoted()) ||
          !connection
               .run(context, "SELECT FROM pg_catalog.pg_constraint WHERE conrelid = " +
                                 connection.quote_literal(table.quoted()) +
                                 "::regclass AND conname = " + connection.quote_literal(key.name))
               .rows.empty()) {
        continue;
      }
      const std::string command = "ALTER TABLE " + table.quoted() + " ADD CONSTRAINT " +
                                  Connection::quote_identifier(key.name) + " " + key.definition;
      if (restored.contains(table.display())) {
        static_cast<void>(connection.run(context, command));
      } else {
        result.warnings.push_back(
            "a foreign key went with the table that is back now; if the rows "
            "fit: " +
            printable(command));
      }
    }
  }
}

// Forward only: numbers that were given out since the backup must not be given out again.
void TableLoader::advance_sequences(const Context& context, Connection& connection) const {
  std::set<std::string> restored;
  for (const TableImpact& impact : tables_) {
    restored.insert(impact.table->display());
  }
  for (const postgres::CatalogSequence& sequence : dump_.manifest().sequences) {
    const std::string name = Connection::quote_identifier(sequence.schema) + "." +
                             Connection::quote_identifier(sequence.name);
    if (!restored.contains(sequence.table) || !table_exists(context, connection, name)) {
      continue;
    }
    static_cast<void>(connection.run(
        context, "SELECT pg_catalog.setval(" + connection.quote_literal(name) + ", " +
                     sequence.last_value + ", " + (sequence.called ? "true" : "false") + ") FROM " +
                     name + " AS now, pg_catalog.pg_sequence s WHERE s.seqrelid = " +
                     connection.quote_literal(name) +
                     "::regclass AND CASE WHEN s.seqincrement > 0 THEN " + sequence.last_value +
                     " > now.last_value ELSE " + sequence.last_value +
                     " < now.last_value END OR NOT now.is_called AND now.last_value = " +
                     sequence.last_value + " AND s.seqrelid = " + connection.quote_literal(name) +
                     "::regclass"));
  }
}

void TableLoader::copy_elsewhere(const Context& context, Connection& connection,
                                 TableLoadResult& result) {
  if (!options_.into_schema.empty()) {
    static_cast<void>(connection.run(
        context,
        "CREATE SCHEMA IF NOT EXISTS " + Connection::quote_identifier(options_.into_schema)));
  }
  for (const TableImpact& impact : tables_) {
    const DumpTable& table = *impact.table;
    if (table.partitioned) {
      continue;  // its partitions become tables of their own
    }
    step("table " + impact.target);
    const std::string target = quoted_target(table);
    static_cast<void>(connection.run(context, postgres::create_table_sql(table, target)));
    load_rows(context, connection, table, result);
    ++result.created;
    for (const postgres::DumpConstraint& constraint : table.constraints) {
      if (constraint.kind != 'f') {
        static_cast<void>(
            connection.run(context, "ALTER TABLE " + target + " ADD " + constraint.definition));
      }
    }
    for (const postgres::DumpIndex& index : table.indexes) {
      if (const auto command = postgres::index_for(index.definition, target)) {
        static_cast<void>(connection.run(context, *command));
      }
    }
    for (const postgres::DumpColumn& column : table.all_columns) {
      if (!column.identity.empty()) {
        static_cast<void>(connection.run(
            context, "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence(" +
                         connection.quote_literal(target) + ", " +
                         connection.quote_literal(column.name) + "), max(" +
                         Connection::quote_identifier(column.name) + ")) FROM " + target));
      }
    }
    for (const std::string& text : postgres::left_out_defaults(table)) {
      result.warnings.push_back(impact.target + " has no default for " + printable(text));
    }
  }
}

TableLoadResult TableLoader::run(const Context& context) {
  TableLoadResult result;
  Connection connection(context, options_.target, ConnectionMode::kSql);
  postgres::set_stable_session(context, connection, kLockTimeout);
  static_cast<void>(connection.run(context, "BEGIN"));
  if (elsewhere()) {
    copy_elsewhere(context, connection, result);
  } else {
    replace(context, connection, result);
  }
  static_cast<void>(connection.run(context, "COMMIT"));
  return result;
}

}  // namespace salvor
