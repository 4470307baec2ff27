#include "engine/postgres/undelete.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/format.h"
#include "connector/postgres/logical/snapshot_session.h"
#include "engine/postgres/table_load.h"

namespace salvor {
namespace {

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::DumpTable;

constexpr std::chrono::seconds kLockTimeout{30};
constexpr const char* kPicked = "\"salvor:picked\"";

std::string quoted(const std::string& name) {
  return Connection::quote_identifier(name);
}

std::string join(const std::vector<std::string>& names, const std::string& prefix = "") {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + prefix + quoted(name);
  }
  return list;
}

// "a.x = b.x AND a.y = b.y"
std::string equal(const std::string& a, const std::vector<std::string>& left, const std::string& b,
                  const std::vector<std::string>& right) {
  std::string text;
  for (size_t i = 0; i < left.size(); ++i) {
    text +=
        (i == 0 ? "" : " AND ") + a + "." + quoted(left[i]) + " = " + b + "." + quoted(right[i]);
  }
  return text;
}

uint64_t number(const postgres::ResultSet& rows, size_t column = 0) {
  return std::stoull(rows.text(0, column));
}

uint64_t affected(const postgres::ResultSet& rows) {
  const size_t space = rows.command.rfind(' ');
  return space == std::string::npos ? 0 : std::stoull(rows.command.substr(space + 1));
}

// "{"a","b"}" as array_agg gives it is avoided: names come one a row.
std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\x01', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace

// One table: its rows of then, in a temporary table.
struct Undelete::Stage {
  const DumpTable* table = nullptr;
  std::string temporary;             // quoted
  std::string live;                  // quoted
  std::vector<std::string> columns;  // in both, written
  std::vector<std::string> key;      // empty: rows are compared as a whole
  std::vector<std::string> notes;

  // The condition under which live row `l` is the same row as `s` of then.
  [[nodiscard]] std::string same_row() const {
    if (!key.empty()) {
      return equal("l", key, "s", key);
    }
    return "NOT (" + differs() + ")";
  }
  // As text: some types know no equality.
  [[nodiscard]] std::string differs() const {
    std::string text;
    for (const std::string& column : columns) {
      text += (text.empty() ? "" : " OR ") + ("l." + quoted(column)) +
              "::text IS DISTINCT FROM s." + quoted(column) + "::text";
    }
    return text.empty() ? "false" : text;
  }
  [[nodiscard]] std::string missing() const {
    return std::string("s.") + kPicked + " AND NOT EXISTS (SELECT FROM " + live + " l WHERE " +
           same_row() + ")";
  }
};

struct Undelete::ForeignKey {
  std::string name;
  std::string child;  // "schema.table"
  std::vector<std::string> child_columns;
  std::string parent;
  std::vector<std::string> parent_columns;
  std::string parent_quoted;
};

struct Undelete::State {
  Connection connection;
  std::vector<std::unique_ptr<Stage>> stages;
  std::vector<ForeignKey> keys;
  std::vector<UndeletePreview> previews;
  bool cycle = false;

  State(const Context& context, const postgres::ConnectionTarget& target)
      : connection(context, target, ConnectionMode::kSql) {}

  [[nodiscard]] Stage* find(const std::string& name) const {
    for (const auto& stage : stages) {
      if (stage->table->display() == name) {
        return stage.get();
      }
    }
    return nullptr;
  }
};

Undelete::Undelete(const Context& context, const PastRows& past, UndeleteOptions options)
    : past_(past),
      options_(std::move(options)),
      state_(std::make_unique<State>(context, options_.target)) {
  postgres::set_stable_session(context, state_->connection, kLockTimeout);
}

Undelete::~Undelete() = default;

// What of the columns of then is there now, by names, types and the primary key; returns the
// definition of the columns of then. `live`: name, type, generated, in the key.
std::string Undelete::compare_columns(const postgres::ResultSet& live, Stage& stage) const {
  const DumpTable& table = *stage.table;
  std::vector<std::string> live_key;
  std::map<std::string, std::string> types;
  for (const auto& row : live.rows) {
    const std::string column = row[0].value_or("");
    if (row[2] != "t") {
      types[column] = row[1].value_or("");
    }
    if (row[3] == "t") {
      live_key.push_back(column);
    }
  }
  std::string definition;
  for (const std::string& column : table.columns) {
    const postgres::DumpColumn* then = table.column(column);
    definition += quoted(column) + " " + (then == nullptr ? "text" : then->type) + ", ";
    const auto now = types.find(column);
    if (now == types.end()) {
      stage.notes.push_back("column " + column + " is gone since; its values are left out");
    } else if (then != nullptr && now->second != then->type) {
      throw Error(
          ErrorCode::kFailed,
          fmt::format("column {} of table {} was {} and is {}", printable(column),
                      printable(table.display()), then->type, now->second),
          "Put the old rows beside it and copy what is needed: salvor postgres load --rename.");
    } else {
      stage.columns.push_back(column);
    }
    types.erase(column);
  }
  for (const auto& [column, type] : types) {
    stage.notes.push_back("column " + column + " is new since; it gets its default");
  }
  std::sort(live_key.begin(), live_key.end());
  std::vector<std::string> key = table.key;
  std::sort(key.begin(), key.end());
  if (!key.empty() && key == live_key) {
    stage.key = table.key;
  } else {
    stage.notes.push_back("no primary key then and now: rows are compared as a whole");
  }
  return definition;
}

// All rows of then; a partitioned table's are in its partitions.
void Undelete::fill(const Context& context, const Stage& stage) {
  const std::vector<DumpTable>& all = past_.manifest().tables;
  std::set<std::string> family{stage.table->display()};
  for (size_t before = 0; before != family.size();) {
    before = family.size();
    for (const DumpTable& table : all) {
      if (!table.partition_of.empty() && family.contains(table.partition_of)) {
        family.insert(table.display());
      }
    }
  }
  for (const DumpTable& table : all) {
    if (family.contains(table.display()) && !table.partitioned) {
      if (options_.on_step) {
        options_.on_step(fmt::format("reading {} rows of {}", table.rows, table.display()));
      }
      past_.copy(context, table, state_->connection, stage.temporary);
    }
  }
}

// Makes the temporary table of a table and fills it; a partitioned table's rows are in its
// partitions.
Undelete::Stage& Undelete::stage(const Context& context, const std::string& name) {
  if (Stage* known = state_->find(name)) {
    return *known;
  }
  const std::vector<DumpTable>& all = past_.manifest().tables;
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const DumpTable& table) { return table.display() == name; });
  if (found == all.end()) {
    throw Error(ErrorCode::kNotFound, "table " + printable(name) + " is not in the backup");
  }
  Connection& connection = state_->connection;
  auto stage = std::make_unique<Stage>();
  stage->table = &*found;
  stage->live = found->quoted();
  stage->temporary = fmt::format("pg_temp.salvor_then_{}", state_->stages.size());
  const auto live = connection.run(
      context,
      "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', "
      "coalesce(a.attnum = ANY ((SELECT i.indkey FROM pg_catalog.pg_index i WHERE i.indrelid = "
      "a.attrelid AND i.indisprimary)::int2[]), false) FROM pg_catalog.pg_attribute a WHERE "
      "a.attnum > "
      "0 AND NOT a.attisdropped AND a.attrelid = pg_catalog.to_regclass(" +
          connection.quote_literal(stage->live) + ") ORDER BY a.attnum");
  if (live.rows.empty()) {
    throw Error(ErrorCode::kNotFound, "there is no table " + printable(name) + " in the database",
                "`salvor postgres load --table " + printable(name) + "` makes it again.");
  }
  const std::string definition = compare_columns(live, *stage);
  static_cast<void>(connection.run(context, "CREATE TEMPORARY TABLE " + stage->temporary.substr(8) +
                                                " (" + definition + kPicked +
                                                " boolean NOT NULL DEFAULT false)"));
  fill(context, *stage);
  if (!stage->key.empty()) {
    static_cast<void>(connection.run(
        context, "CREATE INDEX ON " + stage->temporary + " (" + join(stage->key) + ")"));
  }
  static_cast<void>(connection.run(context, "ANALYZE " + stage->temporary));
  state_->stages.push_back(std::move(stage));
  return *state_->stages.back();
}

void Undelete::read_foreign_keys(const Context& context) {
  const auto rows = state_->connection.run(
      context,
      "SELECT k.conname, cn.nspname || '.' || c.relname, pn.nspname || '.' || p.relname, (SELECT "
      "string_agg(a.attname, E'\\x01' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, "
      "n) "
      "JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num), (SELECT "
      "string_agg(a.attname, E'\\x01' ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u(num, "
      "n) "
      "JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num), "
      "pg_catalog.format('%I.%I', pn.nspname, p.relname) FROM "
      "pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN "
      "pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace JOIN pg_catalog.pg_class p ON p.oid = "
      "k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE k.contype = "
      "'f' AND "
      "k.conparentid = 0 ORDER BY 2, 1");
  for (const auto& row : rows.rows) {
    state_->keys.push_back({row[0].value_or(""), row[1].value_or(""),
                            split_lines(row[3].value_or("")), row[2].value_or(""),
                            split_lines(row[4].value_or("")), row[5].value_or("")});
  }
}

// The caller's condition: on the temporary table, one statement, in a read-only transaction (which
// may write to temporary tables only).
void Undelete::pick(const Context& context, Stage& stage) {
  Connection& connection = state_->connection;
  const std::string where = options_.where.empty() ? "true" : options_.where;
  static_cast<void>(connection.run(context, "BEGIN READ ONLY; RESET search_path"));
  try {
    static_cast<void>(connection.run_single(
        context, "UPDATE " + stage.temporary + " AS " + quoted(stage.table->name) + " SET " +
                     kPicked + " = true WHERE (\n" + where + "\n)"));
  } catch (const postgres::ServerError& error) {
    throw Error(
        ErrorCode::kUsage, "the server does not take the condition --where: " + error.message(),
        "It is SQL on the table's columns as they were: --where \"id = 5 AND total > 10\".");
  }
  static_cast<void>(connection.run(context, "COMMIT"));
  postgres::set_stable_session(context, connection, kLockTimeout);
}

uint64_t Undelete::pick_children(const Context& context, const ForeignKey& key) {
  Stage* parent = state_->find(key.parent);
  if (parent == nullptr) {
    return 0;
  }
  Stage& child = stage(context, key.child);
  return affected(state_->connection.run(
      context, "UPDATE " + child.temporary + " AS c SET " + kPicked + " = true WHERE NOT c." +
                   kPicked + " AND EXISTS (SELECT FROM " + parent->temporary + " s WHERE " +
                   parent->missing() + " AND " +
                   equal("s", key.parent_columns, "c", key.child_columns) + ")"));
}

uint64_t Undelete::pick_parents(const Context& context, const ForeignKey& key) {
  Stage* child = state_->find(key.child);
  if (child == nullptr) {
    return 0;
  }
  Stage& parent = stage(context, key.parent);
  return affected(state_->connection.run(
      context, "UPDATE " + parent.temporary + " AS p SET " + kPicked + " = true WHERE NOT p." +
                   kPicked + " AND NOT EXISTS (SELECT FROM " + parent.live + " l WHERE " +
                   equal("l", key.parent_columns, "p", key.parent_columns) +
                   ") AND EXISTS (SELECT FROM " + child->temporary + " s WHERE " +
                   child->missing() + " AND " +
                   equal("s", key.child_columns, "p", key.parent_columns) + ")"));
}

// Grows the choice along foreign keys until nothing is added: each round adds rows, and there are
// not infinitely many.
void Undelete::pick_related(const Context& context) {
  const auto in_backup = [this](const std::string& name) {
    return std::any_of(past_.manifest().tables.begin(), past_.manifest().tables.end(),
                       [&](const DumpTable& table) { return table.display() == name; });
  };
  for (uint64_t added = 1; added > 0;) {
    added = 0;
    for (const ForeignKey& key : state_->keys) {
      if (in_backup(key.child) && in_backup(key.parent)) {
        added += pick_children(context, key);
        added += pick_parents(context, key);
      }
    }
  }
}

// Parents first. What is left in a circle comes in any order; its keys are then taken off for a
// while.
void Undelete::order_stages() {
  std::vector<std::unique_ptr<Stage>> rest = std::move(state_->stages);
  std::vector<std::unique_ptr<Stage>> ordered;
  while (!rest.empty()) {
    const auto waits = [&](const std::unique_ptr<Stage>& stage) {
      const std::string name = stage->table->display();
      return std::any_of(state_->keys.begin(), state_->keys.end(), [&](const ForeignKey& key) {
        return key.child == name && key.parent != name &&
               std::any_of(rest.begin(), rest.end(), [&](const auto& other) {
                 return other && other->table->display() == key.parent;
               });
      });
    };
    auto next = std::find_if_not(rest.begin(), rest.end(), waits);
    if (next == rest.end()) {
      state_->cycle = true;
      next = rest.begin();
    }
    ordered.push_back(std::move(*next));
    rest.erase(next);
  }
  state_->stages = std::move(ordered);
}

UndeletePreview Undelete::preview(const Context& context, Stage& stage) {
  Connection& connection = state_->connection;
  UndeletePreview preview{.table = stage.table->display(),
                          .columns = stage.columns,
                          .key = stage.key,
                          .notes = stage.notes};
  const std::string from = " FROM " + stage.temporary + " s";
  preview.chosen =
      number(connection.run(context, "SELECT count(*)" + from + " WHERE s." + kPicked));
  preview.missing =
      number(connection.run(context, "SELECT count(*)" + from + " WHERE " + stage.missing()));
  if (!stage.key.empty()) {
    const std::string pairs = from + " JOIN " + stage.live + " l ON " + stage.same_row() +
                              " WHERE s." + kPicked + " AND (" + stage.differs() + ")";
    preview.changed = number(connection.run(context, "SELECT count(*)" + pairs));
    std::string values = "SELECT " + join(stage.key, "s.");
    for (const std::string& column : stage.columns) {
      values += ", s." + quoted(column) + ", l." + quoted(column);
    }
    const size_t keys = stage.key.size();
    for (const auto& row : connection
                               .run(context, values + pairs + " ORDER BY " + join(stage.key, "s.") +
                                                 " LIMIT " + std::to_string(options_.shown_rows))
                               .rows) {
      std::string name;
      for (size_t i = 0; i < keys; ++i) {
        name += (i == 0 ? "" : ", ") + stage.key[i] + "=" + row[i].value_or("NULL");
      }
      for (size_t i = 0; i < stage.columns.size(); ++i) {
        if (row[keys + 2 * i] != row[keys + 2 * i + 1]) {
          preview.changes.push_back(
              {name, stage.columns[i], row[keys + 2 * i], row[keys + 2 * i + 1]});
        }
      }
    }
  }
  preview.same = preview.chosen - preview.missing - preview.changed;
  if (!stage.columns.empty()) {
    preview.missing_rows =
        connection
            .run(context, "SELECT " + join(stage.columns, "s.") + from + " WHERE " +
                              stage.missing() +
                              (stage.key.empty() ? "" : " ORDER BY " + join(stage.key, "s.")) +
                              " LIMIT " + std::to_string(options_.shown_rows))
            .rows;
  }
  find_conflicts(context, stage, preview);
  return preview;
}

// Why an insert would fail: parents that are not there, unique values that others have taken.
void Undelete::find_conflicts(const Context& context, Stage& stage, UndeletePreview& preview) {
  Connection& connection = state_->connection;
  const std::string name = stage.table->display();
  for (const ForeignKey& key : state_->keys) {
    if (key.child != name || key.parent == name) {
      continue;
    }
    const Stage* parent = state_->find(key.parent);
    std::string filled;
    for (const std::string& column : key.child_columns) {
      if (std::find(stage.columns.begin(), stage.columns.end(), column) == stage.columns.end()) {
        filled = "false";  // a column that is new: its default is the server's business
        break;
      }
      filled += (filled.empty() ? "s." : " AND s.") + quoted(column) + " IS NOT NULL";
    }
    const std::string& parent_table = key.parent_quoted;
    std::string query = "SELECT count(*) FROM " + stage.temporary + " s WHERE " + stage.missing() +
                        " AND " + filled;
    // Without the right to look, the server's own check has the last word when it comes to it.
    const std::string readable = "SELECT pg_catalog.has_table_privilege(" +
                                 connection.quote_literal(parent_table) + ", 'SELECT')";
    if (filled == "false" || connection.run(context, readable).text(0, 0) != "t") {
      continue;
    }
    query += " AND NOT EXISTS (SELECT FROM " + parent_table + " p WHERE " +
             equal("p", key.parent_columns, "s", key.child_columns) + ")";
    if (parent != nullptr) {
      query += " AND NOT EXISTS (SELECT FROM " + parent->temporary + " p WHERE p." +
               std::string(kPicked) + " AND " +
               equal("p", key.parent_columns, "s", key.child_columns) + ")";
    }
    if (const uint64_t count = number(connection.run(context, query)); count > 0) {
      preview.conflicts.push_back(
          fmt::format("{} rows refer to rows of {} that are gone, too ({}): add --related", count,
                      key.parent, key.name));
    }
  }
  const auto unique =
      connection.run(context,
                     "SELECT ic.relname, string_agg(a.attname, E'\\x01' ORDER BY u.n) FROM "
                     "pg_catalog.pg_index i JOIN "
                     "pg_catalog.pg_class ic ON ic.oid = i.indexrelid CROSS JOIN LATERAL "
                     "unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY u(num, n) JOIN "
                     "pg_catalog.pg_attribute a "
                     "ON a.attrelid = i.indrelid AND a.attnum = u.num WHERE i.indrelid = " +
                         connection.quote_literal(stage.live) +
                         "::regclass AND i.indisunique AND NOT i.indisprimary AND i.indpred IS "
                         "NULL AND i.indexprs IS "
                         "NULL GROUP BY ic.relname");
  for (const auto& row : unique.rows) {
    const std::vector<std::string> columns = split_lines(row[1].value_or(""));
    const bool ours = std::all_of(columns.begin(), columns.end(), [&](const std::string& column) {
      return std::find(stage.columns.begin(), stage.columns.end(), column) != stage.columns.end();
    });
    if (!ours) {
      continue;  // it has a column that is new
    }
    const std::string query = "SELECT count(*), min(s." + quoted(columns[0]) + "::text) FROM " +
                              stage.temporary + " s WHERE " + stage.missing() +
                              " AND EXISTS (SELECT FROM " + stage.live + " l WHERE " +
                              equal("l", columns, "s", columns) + ")";
    const auto taken = connection.run(context, query);
    if (number(taken) > 0) {
      preview.conflicts.push_back(fmt::format(
          "{} rows have values that other rows have taken since ({}, for example {} {}): "
          "change or delete those, or narrow --where",
          number(taken), row[0].value_or(""), columns[0], printable(taken.text(0, 1))));
    }
  }
}

const std::vector<UndeletePreview>& Undelete::examine(const Context& context) {
  std::vector<std::string> found;
  for (const DumpTable& table : past_.manifest().tables) {
    if (postgres::table_matches(options_.table, table.schema, table.name)) {
      found.push_back(table.display());
    }
  }
  if (found.size() != 1) {
    throw Error(found.empty() ? ErrorCode::kNotFound : ErrorCode::kUsage,
                found.empty()
                    ? "table " + printable(options_.table) + " is not in the backup"
                    : "there are several tables " + printable(options_.table) + " in the backup",
                "Write schema.table.");
  }
  read_foreign_keys(context);
  pick(context, stage(context, found.front()));
  if (options_.related) {
    pick_related(context);
  }
  order_stages();
  for (const auto& stage : state_->stages) {
    state_->previews.push_back(preview(context, *stage));
  }
  return state_->previews;
}

UndeleteResult Undelete::write(const Context& context, Stage& stage) {
  Connection& connection = state_->connection;
  UndeleteResult done;
  if (options_.overwrite && !stage.key.empty()) {
    std::string values;
    for (const std::string& column : stage.columns) {
      if (std::find(stage.key.begin(), stage.key.end(), column) == stage.key.end()) {
        values += (values.empty() ? "" : ", ") + quoted(column) + " = s." + quoted(column);
      }
    }
    if (!values.empty()) {
      done.updated = affected(
          connection.run(context, "UPDATE " + stage.live + " AS l SET " + values + " FROM " +
                                      stage.temporary + " s WHERE s." + kPicked + " AND " +
                                      stage.same_row() + " AND (" + stage.differs() + ")"));
    }
  }
  done.inserted = affected(
      connection.run(context, "INSERT INTO " + stage.live + " (" + join(stage.columns) +
                                  ") OVERRIDING SYSTEM VALUE SELECT " + join(stage.columns, "s.") +
                                  " FROM " + stage.temporary + " s WHERE " + stage.missing()));
  return done;
}

UndeleteResult Undelete::apply(const Context& context) {
  Connection& connection = state_->connection;
  std::vector<std::string> tables;
  for (size_t i = 0; i < state_->stages.size(); ++i) {
    const UndeletePreview& shown = state_->previews[i];
    if (!shown.conflicts.empty()) {
      throw Error(ErrorCode::kFailed, "table " + shown.table + ": " + shown.conflicts.front(),
                  "Nothing was changed.");
    }
    if (shown.missing > 0 || (options_.overwrite && shown.changed > 0)) {
      tables.push_back(state_->stages[i]->live);
    }
  }
  UndeleteResult result;
  if (tables.empty()) {
    return result;
  }
  static_cast<void>(connection.run(context, "BEGIN"));
  // Nobody else writes meanwhile, so that what was shown is what is done. The lock takes more
  // rights than an INSERT; who has not got them relies on keys and on the count of what was
  // inserted.
  for (const std::string& table : tables) {
    const std::string may = "SELECT pg_catalog.has_table_privilege(" +
                            connection.quote_literal(table) + ", 'UPDATE, DELETE, TRUNCATE')";
    const bool strong = connection.run(context, may).text(0, 0) == "t";
    static_cast<void>(
        connection.run(context, "LOCK TABLE " + table + " IN " +
                                    (strong ? "SHARE ROW EXCLUSIVE" : "ROW EXCLUSIVE") + " MODE"));
  }
  const std::vector<std::string> none;
  const SilencedTriggers triggers(context, connection, options_.fire_triggers ? none : tables);
  const DetachedForeignKeys keys(context, connection, state_->cycle ? tables : none);
  for (size_t i = 0; i < state_->stages.size(); ++i) {
    const UndeletePreview& shown = state_->previews[i];
    if (shown.missing == 0 && !(options_.overwrite && shown.changed > 0)) {
      continue;
    }
    const UndeleteResult one = write(context, *state_->stages[i]);
    if (one.inserted != shown.missing || (options_.overwrite && one.updated != shown.changed)) {
      throw Error(ErrorCode::kFailed,
                  fmt::format("table {} has changed since it was shown: {} rows instead of {}",
                              shown.table, one.inserted + one.updated,
                              shown.missing + (options_.overwrite ? shown.changed : 0)),
                  "Nothing was changed. Look again.");
    }
    result.inserted += one.inserted;
    result.updated += one.updated;
  }
  keys.attach(context, connection);
  triggers.restore(context, connection);
  static_cast<void>(connection.run(context, "COMMIT"));
  return result;
}

}  // namespace salvor
