#include "connector/postgres/logical/dump_source.h"

#include <algorithm>
#include <bit>
#include <set>

#include <fmt/format.h>

#include "connector/postgres/backup_facts.h"
#include "connector/postgres/logical/client_tools.h"
#include "connector/postgres/logical/copy_files.h"
#include "connector/postgres/logical/sql_text.h"
#include "connector/postgres/streamed_file.h"

namespace salvor::postgres {
namespace {

constexpr uint64_t kPageBytes = 8192;
constexpr int kTidRangeScan = 140000;  // before, a part would read the whole table

std::string join(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + Connection::quote_identifier(name);
  }
  return list;
}

// A file name in a psql command.
std::string psql_path(const std::string& path) {
  std::string quoted = "'";
  for (const char c : path) {
    quoted += c == '\'' ? "''" : c == '\\' ? "\\\\" : std::string(1, c);
  }
  return quoted + "'";
}

// What brings everything back without us: psql runs it in the restored folder.
std::string restore_script(const DumpManifest& manifest) {
  std::string script =
      "-- Restores this backup into an empty database. In this folder:\n"
      "--   psql -X -v ON_ERROR_STOP=1 --single-transaction -d DATABASE -f restore.sql\n"
      "-- Roles first, where they are missing: psql -X -f schema/roles.sql postgres\n"
      "\\encoding UTF8\n";
  const auto include = [&script](const char* file) {
    // What is included may choose another encoding; the names in this file are UTF-8.
    script += "\\i " + std::string(file) + "\n\\encoding UTF8\n";
  };
  if (manifest.has_schema) {
    include("schema/pre-data.sql");
  }
  for (const DumpTable& table : manifest.tables) {
    const std::string columns = table.columns.empty() ? "" : " (" + join(table.columns) + ")";
    for (const DumpPart& part : table.parts) {
      script += "\\copy " + table.quoted() + columns + " FROM " +
                psql_path("data/" + table.directory + "/" + part.file) + " WITH (ENCODING '" +
                manifest.database.encoding + "')\n";
    }
  }
  if (manifest.large_objects > 0) {
    include("large-objects/create.sql");
    script +=
        "CREATE TEMPORARY TABLE salvor_large_objects (oid oid, start bigint, data bytea);\n"
        "\\copy pg_temp.salvor_large_objects FROM 'large-objects/000000.copy'\n"
        "SELECT count(pg_catalog.lo_put(oid, start, data)) FROM pg_temp.salvor_large_objects;\n";
    include("large-objects/owners.sql");
  }
  if (manifest.has_schema) {
    include("schema/post-data.sql");
  }
  include("schema/sequences.sql");
  if (manifest.has_schema) {
    include("schema/refresh.sql");
  }
  return script;
}

// How many pages make a part: a power of two, so that parts begin at the same pages as the table
// grows.
uint64_t pages_in_part(const CatalogTable& table, uint64_t part_bytes) {
  if (table.pages == 0 || table.bytes <= part_bytes) {
    return table.pages;
  }
  const uint64_t bytes_per_page = std::max(kPageBytes, table.bytes / table.pages);
  return std::bit_floor(std::max<uint64_t>(1, part_bytes / bytes_per_page));
}

// The COPY command of each part of a table.
std::vector<std::string> copy_commands(const CatalogTable& table, const DumpOptions& options,
                                       const std::string& encoding, int server_version) {
  const std::string select = "SELECT " + join(table.columns) + " FROM ONLY " + table.quoted();
  const std::string to = ") TO STDOUT WITH (ENCODING '" + encoding + "')";
  if (!table.extension.empty()) {
    return {"COPY (" + select + " " + table.condition + to};
  }
  if (options.order_by_key && !table.key_columns.empty()) {
    return {"COPY (" + select + " ORDER BY " + join(table.key_columns) + to};
  }
  const uint64_t step = pages_in_part(table, options.part_bytes);
  if (server_version < kTidRangeScan || step >= table.pages) {
    return {"COPY (" + select + to};
  }
  std::vector<std::string> commands;
  for (uint64_t page = 0; page < table.pages; page += step) {
    std::string where = fmt::format(" WHERE ctid >= '({},0)'", page);
    if (page + step < table.pages) {  // the last part is open: the table may have grown
      where += fmt::format(" AND ctid < '({},0)'", page + step);
    }
    commands.push_back("COPY (" + select + where + to);
  }
  return commands;
}

std::string part_name(size_t number) {
  return fmt::format("{:06}.copy", number);
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 10000, version % 10000);
}

std::string path_part(const std::string& text) {
  std::string part;
  for (const char c : text) {
    part += c == '/' ? '_' : c;
  }
  return part.empty() ? "local" : part;
}

std::string sequence_script(const std::vector<CatalogSequence>& sequences,
                            const Connection& connection) {
  std::string script;
  for (const CatalogSequence& sequence : sequences) {
    const std::string name = Connection::quote_identifier(sequence.schema) + "." +
                             Connection::quote_identifier(sequence.name);
    script += "SELECT pg_catalog.setval(" + connection.quote_literal(name) + ", " +
              sequence.last_value + ", " + (sequence.called ? "true" : "false") + ");\n";
  }
  return script;
}

}  // namespace

std::string dump_path(const std::string& server, const std::string& database) {
  return "/postgresql-dump/" + path_part(server) + "/" + path_part(database);
}

struct DumpSource::State {
  DumpOptions options;
  std::vector<CatalogTable> tables;
  SnapshotSession session;
  DumpManifest manifest;
  std::string tools;
  uint64_t estimated = 0;
  std::shared_ptr<CopyFiles> files;
  std::vector<std::vector<size_t>> parts;  // of each table in manifest.tables: numbers in files
  std::optional<size_t> large_object_file;

  State(const Context& context, DumpOptions chosen)
      : options(std::move(chosen)), session(context, locking_session(context)) {}

  // The session's options with what locks the tables before the snapshot is taken.
  [[nodiscard]] SnapshotSessionOptions locking_session(const Context& context);
  [[nodiscard]] Node node(std::string name, bool directory) const;
  void add_text(TreeSink& sink, TreeSink::Directory* directory, const std::string& name,
                ByteView content) const;
  [[nodiscard]] std::vector<std::string> selection(const Context& context);
  void add_schema(const Context& context, TreeSink& sink, TreeSink::Directory* directory);
  void add_roles(const Context& context, TreeSink& sink, TreeSink::Directory* directory);
  void add_tables(const Context& context, TreeSink& sink, TreeSink::Directory* data);
  void add_large_objects(const Context& context, TreeSink& sink);
  void collect_results();
};

DumpSource::DumpSource(const Context& context, DumpOptions options)
    : state_(std::make_unique<State>(context, std::move(options))) {
  Connection& first = state_->session.first();
  const DumpOptions& chosen = state_->options;
  if (chosen.schema) {
    state_->tools = find_client_tools(chosen.client_programs, "pg_dump",
                                      static_cast<unsigned>(first.server_version()) / 10000);
  }
  if (state_->tables.empty() && !chosen.choice.all()) {
    throw Error(ErrorCode::kNotFound,
                "no table of database " + first.database() + " matches what was chosen",
                "Patterns take * and ?; upper case matters. psql's \\dt *.* lists the tables.");
  }
  DumpManifest& manifest = state_->manifest;
  manifest.server_version = first.server_version();
  manifest.database = read_database(context, first);
  manifest.server = chosen.name.empty() ? first.server().host : chosen.name;
  manifest.time = state_->session.time();
  manifest.wal_position = state_->session.position();
  manifest.order = chosen.order_by_key ? "key" : "physical";
  manifest.has_schema = chosen.schema;
  manifest.complete = chosen.choice.all();
  for (const CatalogTable& table : state_->tables) {
    state_->estimated += table.bytes;
  }
}

DumpSource::~DumpSource() = default;

SnapshotSessionOptions DumpSource::State::locking_session(const Context& context) {
  SnapshotSessionOptions locking = options.session;
  // LOCK TABLE takes no snapshot, a query does: the list comes from a connection of its own.
  locking.lock = [this, &context](Connection& first) {
    {
      ConnectionTarget same = options.session.target;
      same.server = first.server();
      same.database = first.database();
      Connection scout(context, same, ConnectionMode::kSql);
      set_stable_session(context, scout, options.session.lock_timeout);
      tables = read_tables(context, scout, options.choice);
    }
    require_readable(tables, first.user(), first.server_version());
    constexpr size_t kAtOnce = 100;
    for (size_t begin = 0; begin < tables.size(); begin += kAtOnce) {
      std::string list;
      for (size_t i = begin; i < std::min(begin + kAtOnce, tables.size()); ++i) {
        list += (list.empty() ? "ONLY " : ", ONLY ") + tables[i].quoted();
      }
      static_cast<void>(first.run(context, "LOCK TABLE " + list + " IN ACCESS SHARE MODE"));
    }
  };
  locking.after = [this, &context](Connection& first) {
    const auto identities = [](const std::vector<CatalogTable>& list) {
      std::set<uint32_t> oids;
      for (const CatalogTable& table : list) {
        oids.insert(table.oid);
      }
      return oids;
    };
    const std::set<uint32_t> locked = identities(tables);
    tables = read_tables(context, first, options.choice);
    return identities(tables) == locked;
  };
  return locking;
}

Node DumpSource::State::node(std::string name, bool directory) const {
  Node node;
  node.name = std::move(name);
  node.type = directory ? NodeType::kDir : NodeType::kFile;
  node.mode = directory ? go_mode::kDir | 0700U : 0600U;
  node.mtime = node.atime = node.ctime = options.time;
  node.uid = options.uid;
  node.gid = options.gid;
  return node;
}

void DumpSource::State::add_text(TreeSink& sink, TreeSink::Directory* directory,
                                 const std::string& name, ByteView content) const {
  Node file = node(name, false);
  file.size = content.size();
  sink.add_file(
      directory, std::move(file),
      std::make_shared<BufferedFile>(name, Buffer::copy_of(content), MemoryBudget::Lease()));
}

// What pg_dump has to be told to take the same as we do: names, not patterns.
std::vector<std::string> DumpSource::State::selection(const Context& context) {
  std::vector<std::string> arguments;
  const TableChoice& choice = options.choice;
  const auto add_schemas = [&](const std::vector<std::string>& patterns, const char* option) {
    if (patterns.empty()) {
      return;
    }
    for (const auto& row :
         session.first().run(context, "SELECT nspname FROM pg_catalog.pg_namespace").rows) {
      for (const std::string& pattern : patterns) {
        if (glob_matches(pattern, row[0].value_or(""))) {
          arguments.push_back(option + Connection::quote_identifier(row[0].value_or("")));
          break;
        }
      }
    }
  };
  add_schemas(choice.exclude_schemas, "--exclude-schema=");
  if (choice.tables.empty()) {
    add_schemas(choice.schemas, "--schema=");
  } else {
    for (const CatalogTable& table : tables) {
      arguments.push_back("--table=" + table.quoted());
    }
  }
  if (!choice.exclude_tables.empty()) {
    for (const CatalogTable& table :
         read_tables(context, session.first(), {{}, {}, choice.exclude_tables, {}})) {
      arguments.push_back("--exclude-table=" + table.quoted());
    }
  }
  return arguments;
}

void DumpSource::State::add_schema(const Context& context, TreeSink& sink,
                                   TreeSink::Directory* directory) {
  const ClientAccess access = session.first().client_access();
  const auto warn = [&context](const std::string& line) { context.events.on(Warning{line, ""}); };
  std::vector<std::string> arguments{
      "--schema-only",
      "--format=custom",
      "--compress=0",
      "--snapshot=" + session.snapshot(),
      "--lock-wait-timeout=" + std::to_string(options.session.lock_timeout.count()) + "s",
      "--dbname=" + access.conninfo};
  for (std::string& argument : selection(context)) {
    arguments.push_back(std::move(argument));
  }
  const Buffer archive = run_tool(context, {.program = tools + "/pg_dump",
                                            .arguments = std::move(arguments),
                                            .environment = access.environment,
                                            .input = {},
                                            .on_message = warn});
  add_text(sink, directory, "archive.dump", archive.view());
  const std::string restore = find_client_tools(tools, "pg_restore", 1) + "/pg_restore";
  for (const char* const section : {"pre-data", "post-data"}) {
    const Buffer script =
        run_tool(context, {.program = restore,
                           .arguments = {"--section=" + std::string(section), "--file=-"},
                           .input = archive.view()});
    add_text(sink, directory, std::string(section) + ".sql",
             as_bytes(without_newer_settings(as_text(script.view()), manifest.server_version)));
  }
  add_text(sink, directory, "refresh.sql",
           as_bytes(refresh_script(context, session.first(), options.choice)));
  std::string settings;
  for (const std::string& setting : manifest.database.settings) {
    settings += setting + ";\n";
  }
  const std::string name = Connection::quote_identifier(manifest.database.name);
  for (size_t at = settings.find("{database}"); at != std::string::npos;
       at = settings.find("{database}", at + name.size())) {
    settings.replace(at, 10, name);
  }
  add_text(sink, directory, "database.sql", as_bytes(settings));
}

void DumpSource::State::add_roles(const Context& context, TreeSink& sink,
                                  TreeSink::Directory* directory) {
  if (options.roles == RolesChoice::kNone) {
    return;
  }
  const bool with_passwords = options.roles == RolesChoice::kWithPasswords;
  const ClientAccess access = session.first().client_access();
  std::vector<std::string> arguments{"--roles-only", "--dbname=" + access.conninfo};
  if (!with_passwords) {
    arguments.emplace_back("--no-role-passwords");
  }
  try {
    const std::string program = find_client_tools(tools, "pg_dumpall", 1) + "/pg_dumpall";
    const Buffer script = run_tool(context, {.program = program,
                                             .arguments = std::move(arguments),
                                             .environment = access.environment,
                                             .input = {}});
    add_text(sink, directory, "roles.sql", script.view());
  } catch (Error& error) {
    if (with_passwords || error.code() == ErrorCode::kCancelled) {
      throw;
    }
    context.events.on(Warning{"the roles are not in this backup: " + error.message(),
                              "Their tables are. --roles none does not try."});
  }
}

void DumpSource::State::add_tables(const Context& context, TreeSink& sink,
                                   TreeSink::Directory* data) {
  Connection& first = session.first();
  const std::string& encoding = manifest.database.encoding;
  for (const CatalogTable& table : tables) {
    DumpTable entry = describe_table(table);
    std::vector<size_t> numbers;
    if (table.unreachable) {
      context.events.on(Warning{"the rows of " + table.display() +
                                    " are not in this backup: the table is unlogged, and a standby "
                                    "has none of them",
                                "Back up the primary to have them."});
    } else if (!table.partitioned) {
      TreeSink::Directory* directory = sink.open_directory(data, node(entry.directory, true));
      for (std::string& command : copy_commands(table, options, encoding, first.server_version())) {
        const std::string name = part_name(entry.parts.size());
        entry.parts.push_back({name, 0, 0});
        numbers.push_back(files->add(context, sink, directory, node(name, false),
                                     std::move(command), "table " + table.display()));
      }
      sink.close_directory(directory);
    }
    parts.push_back(std::move(numbers));
    manifest.tables.push_back(std::move(entry));
  }
}

void DumpSource::State::add_large_objects(const Context& context, TreeSink& sink) {
  Connection& first = session.first();
  const LargeObjectScripts scripts = large_object_scripts(context, first);
  if (scripts.create.empty()) {
    return;
  }
  const ResultSet facts =
      first.run(context,
                "SELECT count(*), pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', "
                "'SELECT'), pg_catalog.current_setting('block_size')::int / 4 "
                "FROM pg_catalog.pg_largeobject_metadata");
  manifest.large_objects = std::stoull(facts.text(0, 0));
  TreeSink::Directory* directory = sink.open_directory(sink.root(), node("large-objects", true));
  add_text(sink, directory, "create.sql", as_bytes(scripts.create));
  add_text(sink, directory, "owners.sql", as_bytes(scripts.owners));
  // The table itself is a superuser's; the functions ask for a right to each object.
  const std::string select =
      facts.text(0, 1) == "t"
          ? "SELECT loid, pageno::bigint * " + facts.text(0, 2) +
                ", data FROM pg_catalog.pg_largeobject ORDER BY loid, pageno"
          : "SELECT m.oid, s.o, pg_catalog.lo_get(m.oid, s.o, 262144) FROM (SELECT oid FROM "
            "pg_catalog.pg_largeobject_metadata ORDER BY oid) m CROSS JOIN LATERAL (SELECT "
            "pg_catalog.lo_lseek64(pg_catalog.lo_open(m.oid, 262144), 0, 2) AS size OFFSET 0) z "
            "CROSS JOIN LATERAL pg_catalog.generate_series(0, z.size - 1, 262144) AS s(o)";
  large_object_file = files->add(context, sink, directory, node(part_name(0), false),
                                 "COPY (" + select + ") TO STDOUT", "large objects");
  sink.close_directory(directory);
}

void DumpSource::State::collect_results() {
  for (size_t i = 0; i < manifest.tables.size(); ++i) {
    DumpTable& table = manifest.tables[i];
    for (size_t part = 0; part < parts[i].size(); ++part) {
      const CopyResult& result = files->result(parts[i][part]);
      table.parts[part].rows = result.rows;
      table.parts[part].bytes = result.bytes;
      table.rows += result.rows;
    }
  }
  if (large_object_file) {
    manifest.large_object_rows = files->result(*large_object_file).rows;
  }
  std::sort(manifest.tables.begin(), manifest.tables.end(),
            [](const DumpTable& a, const DumpTable& b) {
              return std::tie(a.schema, a.name) < std::tie(b.schema, b.name);
            });
}

void DumpSource::stream_into(const Context& context, TreeSink& sink) {
  State& state = *state_;
  state.files = std::make_shared<CopyFiles>(state.session);
  try {
    TreeSink::Directory* schema = nullptr;
    schema = sink.open_directory(sink.root(), state.node("schema", true));
    if (state.options.schema) {
      state.add_schema(context, sink, schema);
      state.add_roles(context, sink, schema);
    }
    TreeSink::Directory* data = sink.open_directory(sink.root(), state.node("data", true));
    state.add_tables(context, sink, data);
    sink.close_directory(data);
    if (state.options.large_objects && state.options.choice.all()) {
      state.add_large_objects(context, sink);
    }
    state.files->wait(context);
    state.collect_results();
    state.manifest.sequences = read_sequences(context, state.session.first(), state.options.choice);
    state.add_text(sink, schema, "sequences.sql",
                   as_bytes(sequence_script(state.manifest.sequences, state.session.first())));
    sink.close_directory(schema);
    state.add_text(sink, sink.root(), kManifestFile, as_bytes(to_json(state.manifest)));
    state.add_text(sink, sink.root(), "restore.sql", as_bytes(restore_script(state.manifest)));
    sink.close_directory(sink.root());
  } catch (const Error&) {
    state.files->rethrow_cause();
  }
}

void DumpSource::finish(const Context& context) {
  state_->session.close(context);
}

std::vector<std::string> DumpSource::paths() const {
  return {dump_path(state_->manifest.server, state_->manifest.database.name)};
}

std::vector<std::string> DumpSource::tags() const {
  return {kDumpTag, "pg:database=" + state_->manifest.database.name,
          "pg:version=" + version_text(state_->manifest.server_version),
          kDumpTimeTag + format_utc(state_->manifest.time)};
}

std::string DumpSource::display() const {
  return state_->manifest.database.name + " at " + state_->session.first().display();
}

size_t DumpSource::table_count() const {
  return state_->tables.size();
}

uint64_t DumpSource::estimated_bytes() const {
  return state_->estimated;
}

const DumpManifest& DumpSource::manifest() const {
  return state_->manifest;
}

}  // namespace salvor::postgres
