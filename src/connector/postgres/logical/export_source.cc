#include "connector/postgres/logical/export_source.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/format.h"
#include "codec/go_json.h"
#include "connector/postgres/backup_facts.h"
#include "connector/postgres/logical/copy_files.h"
#include "connector/postgres/logical/dump_manifest.h"
#include "connector/postgres/streamed_file.h"

namespace salvor::postgres {
namespace {

struct Column {
  std::string name;
  std::string type;
  std::string mask;
};

struct Table {
  DumpTable table;
  std::vector<Column> columns;
  std::vector<std::string> left_out;
  std::string where;
  std::string file;
  size_t number = 0;  // in the files
  uint64_t rows = 0;
};

std::string masked(const Column& column, const std::string& salt, bool json) {
  const std::string name = "t." + Connection::quote_identifier(column.name);
  const std::string text = name + "::text";
  if (column.mask == "null") {
    return "NULL::text";
  }
  if (column.mask == "redact") {
    return "CASE WHEN " + name + " IS NOT NULL THEN '***' END";
  }
  if (column.mask == "hash") {
    return "encode(sha256(convert_to('" + salt + "' || " + text + ", 'UTF8')), 'hex')";
  }
  if (column.mask == "email") {
    return "CASE WHEN strpos(" + text + ", '@') > 1 THEN left(" + text + ", 1) || '***@' || " +
           "split_part(" + text + ", '@', 2) WHEN " + name + " IS NOT NULL THEN '***' END";
  }
  if (column.mask == "last4") {
    return "CASE WHEN length(" + text + ") > 4 THEN '****' || right(" + text + ", 4) WHEN " + name +
           " IS NOT NULL THEN '****' END";
  }
  // json keeps the writer's line breaks, which may stand between its words only.
  return json && column.type == "json"
             ? "replace(replace(" + text + ", E'\\n', ' '), E'\\r', ' ')::json"
             : name;
}

std::string from_clause(const Table& table) {
  return " FROM " + table.table.quoted() + " AS t" +
         (table.where.empty() ? "" : " WHERE (\n" + table.where + "\n)");
}

std::string copy_command(const Table& table, const ExportOptions& options) {
  const bool json = options.format == ExportFormat::kJsonLines;
  std::string select;
  for (const Column& column : table.columns) {
    select += (select.empty() ? "" : ", ") + masked(column, options.salt, json) + " AS " +
              Connection::quote_identifier(column.name);
  }
  std::string order;
  for (const std::string& key : table.table.key) {
    order += (order.empty() ? " ORDER BY t." : ", t.") + Connection::quote_identifier(key);
  }
  const std::string rows = "SELECT " + select + from_clause(table) + order;
  if (!json) {
    return "COPY (" + rows + ") TO STDOUT WITH (FORMAT csv, HEADER true, ENCODING 'UTF8')";
  }
  // CSV with a delimiter and quote that JSON text cannot hold is the text itself.
  return "COPY (SELECT row_to_json(x)::text FROM (" + rows +
         ") AS x) TO STDOUT WITH (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01', ENCODING 'UTF8')";
}

Error matches_nothing(const char* option, const std::string& what) {
  return {ErrorCode::kUsage,
          std::string(option) + " \"" + printable(what) + "\" matches nothing that is exported",
          "Nothing was exported: a mistyped name must not leave data in the clear."};
}

void append_list(std::string& out, const std::vector<std::string>& texts) {
  out += '[';
  for (size_t i = 0; i < texts.size(); ++i) {
    out += i == 0 ? "" : ",";
    append_json_string(out, texts[i]);
  }
  out += ']';
}

}  // namespace

const std::vector<std::string>& export_masks() {
  static const std::vector<std::string> masks{"null", "redact", "hash", "email", "last4"};
  return masks;
}

bool column_matches(std::string_view pattern, const std::string& schema, const std::string& table,
                    const std::string& column) {
  // The last dot outside quotes parts the table from the column.
  bool quoted = false;
  size_t dot = std::string_view::npos;
  for (size_t at = 0; at < pattern.size(); ++at) {
    quoted = quoted != (pattern[at] == '"');
    dot = pattern[at] == '.' && !quoted ? at : dot;
  }
  if (dot == std::string_view::npos) {
    return table_matches(pattern, "", column);
  }
  return table_matches(pattern.substr(0, dot), schema, table) &&
         table_matches(pattern.substr(dot + 1), "", column);
}

struct ExportSource::State {
  ExportOptions options;
  SnapshotSession session;
  DatabaseFacts database;
  std::vector<Table> tables;
  std::shared_ptr<CopyFiles> files;
  uint64_t rows = 0;

  State(const Context& context, ExportOptions chosen)
      : options(std::move(chosen)), session(context, options.session) {}

  void choose_columns();
  void choose_masks();
  void choose_conditions(const Context& context);
  [[nodiscard]] Node node(std::string name, bool directory) const;
  [[nodiscard]] std::string describe() const;
};

ExportSource::ExportSource(const Context& context, ExportOptions options)
    : state_(std::make_unique<State>(context, std::move(options))) {
  Connection& first = state_->session.first();
  std::vector<CatalogTable> found = read_tables(context, first, state_->options.choice);
  std::set<std::string> parents;
  for (const CatalogTable& table : found) {
    if (table.partitioned) {
      parents.insert(table.display());
    }
  }
  std::vector<CatalogTable> chosen;
  for (CatalogTable& table : found) {
    Table one{.table = describe_table(table)};
    // A partition's rows come with its parent.
    if (parents.contains(one.table.partition_of)) {
      continue;
    }
    for (const DumpColumn& column : one.table.all_columns) {
      one.columns.push_back({column.name, column.type, ""});
    }
    one.file = one.table.directory +
               (state_->options.format == ExportFormat::kJsonLines ? ".jsonl" : ".csv");
    state_->tables.push_back(std::move(one));
    chosen.push_back(std::move(table));
  }
  if (state_->tables.empty()) {
    throw Error(ErrorCode::kNotFound,
                "no table of database " + first.database() + " matches what was chosen");
  }
  require_readable(chosen, first.user(), first.server_version());
  state_->database = read_database(context, first);
  state_->choose_columns();
  state_->choose_masks();
  state_->choose_conditions(context);
}

ExportSource::~ExportSource() = default;

void ExportSource::State::choose_columns() {
  for (const auto& [pattern, list] : options.columns) {
    bool found = false;
    for (Table& table : tables) {
      if (!table_matches(pattern, table.table.schema, table.table.name)) {
        continue;
      }
      found = true;
      std::vector<Column> kept;
      for (size_t at = 0; at <= list.size();) {
        const size_t end = std::min(list.find(',', at), list.size());
        const std::string name = list.substr(at, end - at);
        const auto column = std::find_if(table.columns.begin(), table.columns.end(),
                                         [&](const Column& one) { return one.name == name; });
        if (column == table.columns.end()) {
          throw matches_nothing("--columns", table.table.display() + "." + name);
        }
        kept.push_back(*column);
        at = end + 1;
      }
      for (const Column& column : table.columns) {
        if (std::none_of(kept.begin(), kept.end(),
                         [&](const Column& one) { return one.name == column.name; })) {
          table.left_out.push_back(column.name);
        }
      }
      table.columns = std::move(kept);
    }
    if (!found) {
      throw matches_nothing("--columns", pattern);
    }
  }
  for (const std::string& pattern : options.exclude_columns) {
    bool found = false;
    for (Table& table : tables) {
      for (const std::string& gone : table.left_out) {
        found = found || column_matches(pattern, table.table.schema, table.table.name, gone);
      }
      std::erase_if(table.columns, [&](const Column& column) {
        if (!column_matches(pattern, table.table.schema, table.table.name, column.name)) {
          return false;
        }
        found = true;
        table.left_out.push_back(column.name);
        return true;
      });
    }
    if (!found) {
      throw matches_nothing("--exclude-column", pattern);
    }
  }
}

void ExportSource::State::choose_masks() {
  for (const auto& [pattern, mask] : options.masks) {
    if (std::find(export_masks().begin(), export_masks().end(), mask) == export_masks().end()) {
      throw Error(ErrorCode::kUsage, "there is no mask \"" + printable(mask) + "\"",
                  "Masks are null, redact, hash, email and last4.");
    }
    bool found = false;
    for (Table& table : tables) {
      for (Column& column : table.columns) {
        if (column_matches(pattern, table.table.schema, table.table.name, column.name)) {
          column.mask = mask;
          found = true;
        }
      }
    }
    if (!found) {
      throw matches_nothing("--mask", pattern);
    }
  }
}

// Each condition must be one, and one statement: the server parses it alone first.
void ExportSource::State::choose_conditions(const Context& context) {
  for (const auto& [pattern, where] : options.where) {
    bool found = false;
    for (Table& table : tables) {
      if (!table_matches(pattern, table.table.schema, table.table.name)) {
        continue;
      }
      found = true;
      table.where = where;
      try {
        static_cast<void>(
            session.first().run_single(context, "EXPLAIN SELECT" + from_clause(table)));
      } catch (const ServerError& error) {
        throw Error(ErrorCode::kUsage,
                    "the server does not take the condition for " + table.table.display() + ": " +
                        error.message(),
                    "It is SQL on the table's columns; functions and types outside pg_catalog need "
                    "their schema: --where \"users=created > now() - interval '30 days'\".");
      }
    }
    if (!found) {
      throw matches_nothing("--where", pattern);
    }
  }
}

Node ExportSource::State::node(std::string name, bool directory) const {
  Node node;
  node.name = std::move(name);
  node.type = directory ? NodeType::kDir : NodeType::kFile;
  node.mode = directory ? go_mode::kDir | 0700U : 0600U;
  node.mtime = node.atime = node.ctime = options.time;
  node.uid = options.uid;
  node.gid = options.gid;
  return node;
}

std::string ExportSource::State::describe() const {
  std::string out = "{\"kind\":\"salvor-postgresql-export\",\"format\":1,\"database\":";
  append_json_string(out, database.name);
  out += ",\"time\":";
  append_json_string(out, format_utc(session.time()));
  out += ",\n\"tables\":[";
  bool first = true;
  for (const Table& table : tables) {
    out += first ? "\n{\"table\":" : ",\n{\"table\":";
    first = false;
    append_json_string(out, table.table.display());
    out += ",\"file\":";
    append_json_string(out, "tables/" + table.file);
    out += ",\"rows\":" + std::to_string(table.rows) + ",\"where\":";
    append_json_string(out, table.where);
    std::vector<std::string> columns;
    std::string masks;
    for (const Column& column : table.columns) {
      columns.push_back(column.name);
      if (!column.mask.empty()) {
        masks += masks.empty() ? "" : ",";
        append_json_string(masks, column.name);
        masks += ':';
        append_json_string(masks, column.mask);
      }
    }
    out += ",\"columns\":";
    append_list(out, columns);
    out += ",\"left_out\":";
    append_list(out, table.left_out);
    out += ",\"masked\":{" + masks + "}}";
  }
  return out + "]}\n";
}

void ExportSource::stream_into(const Context& context, TreeSink& sink) {
  State& state = *state_;
  state.files = std::make_shared<CopyFiles>(state.session);
  try {
    TreeSink::Directory* directory = sink.open_directory(sink.root(), state.node("tables", true));
    for (Table& table : state.tables) {
      table.number =
          state.files->add(context, sink, directory, state.node(table.file, false),
                           copy_command(table, state.options), "table " + table.table.display());
    }
    sink.close_directory(directory);
    state.files->wait(context);
    for (Table& table : state.tables) {
      table.rows = state.files->result(table.number).rows;
      state.rows += table.rows;
    }
    const std::string text = state.describe();
    Node file = state.node("export.json", false);
    file.size = text.size();
    sink.add_file(sink.root(), std::move(file),
                  std::make_shared<BufferedFile>("export.json", Buffer::copy_of(as_bytes(text)),
                                                 MemoryBudget::Lease()));
    sink.close_directory(sink.root());
  } catch (const Error&) {
    state.files->rethrow_cause();
  }
}

void ExportSource::finish(const Context& context) {
  state_->session.close(context);
}

std::vector<std::string> ExportSource::paths() const {
  const std::string server =
      state_->options.name.empty() ? state_->session.first().server().host : state_->options.name;
  return {"/postgresql-export/" + server + "/" + state_->database.name};
}

std::vector<std::string> ExportSource::tags() const {
  return {kExportTag, "pg:database=" + state_->database.name};
}

std::string ExportSource::display() const {
  return state_->database.name + " at " + state_->session.first().display();
}

size_t ExportSource::table_count() const {
  return state_->tables.size();
}

uint64_t ExportSource::rows() const {
  return state_->rows;
}

}  // namespace salvor::postgres
