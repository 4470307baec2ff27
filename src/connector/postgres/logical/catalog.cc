#include "connector/postgres/logical/catalog.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace salvor::postgres {
namespace {

uint64_t number(const std::optional<std::string>& text) {
  uint64_t value = 0;
  if (text) {
    std::from_chars(text->data(), text->data() + text->size(), value);
  }
  return value;
}

bool truth(const std::optional<std::string>& text) {
  return text == "t";
}

// A column of names: hex, comma-separated, so that no name can be mistaken for a separator.
std::vector<std::string> names(const std::optional<std::string>& text) {
  std::vector<std::string> list;
  if (!text) {
    return list;
  }
  for (size_t at = 0; at < text->size();) {
    const size_t comma = std::min(text->find(',', at), text->size());
    std::string name((comma - at) / 2, '\0');
    static_cast<void>(from_hex(std::string_view(*text).substr(at, comma - at),
                               std::as_writable_bytes(std::span(name))));
    list.push_back(std::move(name));
    at = comma + 1;
  }
  return list;
}

bool any_matches(const std::vector<std::string>& patterns, const std::string& text) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return glob_matches(pattern, text); });
}

bool any_table_matches(const std::vector<std::string>& patterns, const std::string& schema,
                       const std::string& table) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return table_matches(pattern, schema, table);
  });
}

// One part of "schema.table": up to a dot outside quotes.
std::string take_part(std::string_view& pattern, bool& ended) {
  std::string part;
  bool quoted = false;
  size_t at = 0;
  for (; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '"') {
      if (quoted && at + 1 < pattern.size() && pattern[at + 1] == '"') {
        part += '"';
        ++at;
      } else {
        quoted = !quoted;
      }
    } else if (c == '.' && !quoted) {
      break;
    } else {
      part += c;
    }
  }
  ended = at >= pattern.size();
  pattern.remove_prefix(std::min(at + 1, pattern.size()));
  return part;
}

constexpr const char* kOurs =
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'";

// Ordinary and partitioned tables. Those of extensions belong to the extension, but for the tables
// of settings that it names.
const char* const kTables = R"(
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', coalesce(x.extname, ''),
  coalesce(x.condition, ''),
  CASE c.relkind WHEN 'p' THEN 0 ELSE pg_catalog.pg_relation_size(c.oid) / 8192 END,
  CASE c.relkind WHEN 'p' THEN 0 ELSE pg_catalog.pg_table_size(c.oid) END,
  pg_catalog.has_table_privilege(c.oid, 'SELECT')
    AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
  pg_catalog.row_security_active(c.oid), pg_catalog.pg_get_userbyid(c.relowner),
  (SELECT string_agg(encode(convert_to(a.attname, 'UTF8'), 'hex'), ',' ORDER BY a.attnum)
     FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
  (SELECT string_agg(encode(convert_to(a.attname, 'UTF8'), 'hex'), ',' ORDER BY k.place)
     FROM pg_catalog.pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place),
          pg_catalog.pg_attribute a
    WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = k.attnum),
  json_build_object(
    'partition_of', CASE WHEN c.relispartition THEN (SELECT pn.nspname || '.' || p.relname
        FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
        JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid) END,
    'columns', coalesce((SELECT json_agg(json_build_object('name', a.attname,
        'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
        'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'identity', a.attidentity,
        'generated', a.attgenerated,
        'collation', CASE WHEN a.attcollation <> t.typcollation THEN
            (SELECT pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(co.collname)
               FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn
                 ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END)
        ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'::json),
    'constraints', coalesce((SELECT json_agg(json_build_object('name', k.conname, 'kind', k.contype,
        'definition', pg_catalog.pg_get_constraintdef(k.oid),
        'references', CASE WHEN k.confrelid <> 0 THEN
            (SELECT rn.nspname || '.' || r.relname FROM pg_catalog.pg_class r
               JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
              WHERE r.oid = k.confrelid) END)
        ORDER BY k.contype = 'f', k.contype <> 'p', k.conname)
      FROM pg_catalog.pg_constraint k
      WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'x', 'f')), '[]'::json),
    'indexes', coalesce((SELECT json_agg(json_build_object('name', ic.relname,
        'definition', pg_catalog.pg_get_indexdef(i.indexrelid), 'unique', i.indisunique)
        ORDER BY ic.relname)
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
        WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))), '[]'::json)),
  c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (SELECT e.extname, u.condition FROM pg_catalog.pg_extension e,
    unnest(e.extconfig, e.extcondition) AS u(oid, condition) WHERE u.oid = c.oid) x ON true
WHERE c.relkind IN ('r', 'p') AND %s
  AND (x.extname IS NOT NULL OR NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
)";

const char* const kSequences = R"(
SELECT n.nspname, c.relname, coalesce((SELECT tn.nspname || '.' || t.relname
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
      AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') LIMIT 1), ''),
  pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND %s
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
)";

// Depth in the graph of views that read views; a cycle cannot be.
const char* const kRefresh = R"(
WITH RECURSIVE edges AS (
  SELECT DISTINCT w.ev_class AS reader, d.refobjid AS what
  FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
   AND d.refclassid = 'pg_catalog.pg_class'::regclass
  WHERE d.refobjid <> w.ev_class),
depth AS (
  SELECT c.oid, 0 AS level FROM pg_catalog.pg_class c WHERE c.relkind IN ('m', 'v')
  UNION
  SELECT e.reader, depth.level + 1 FROM depth JOIN edges e ON e.what = depth.oid
  WHERE depth.level < 1000)
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated AND %s
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY (SELECT max(level) FROM depth WHERE depth.oid = c.oid), n.nspname, c.relname
)";

const char* const kLargeObjects = R"(
SELECT m.oid, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.lomowner)),
  pg_catalog.obj_description(m.oid, 'pg_largeobject'),
  (SELECT string_agg('GRANT ' || a.privilege_type || ' ON LARGE OBJECT ' || m.oid || ' TO '
      || CASE a.grantee WHEN 0 THEN 'PUBLIC'
         ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
      || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, E';\n' ORDER BY a.grantee,
         a.privilege_type)
   FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.grantee <> m.lomowner)
FROM pg_catalog.pg_largeobject_metadata m ORDER BY m.oid
)";

const char* const kDatabase = R"(
SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding),
  d.datcollate, d.datctype, pg_catalog.pg_database_size(d.oid), %s
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
)";

// Settings of lists (search_path) are kept quoted element by element, as pg_dump writes them. Of
// rights, what differs from those that a new database has: PUBLIC may connect to one.
const char* const kSettings = R"(
SELECT CASE WHEN s.setrole = 0 THEN 'ALTER DATABASE {database} SET '
    ELSE 'ALTER ROLE ' || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(s.setrole))
      || ' IN DATABASE {database} SET ' END
  || pg_catalog.quote_ident(split_part(c, '=', 1)) || ' TO '
  || CASE WHEN lower(split_part(c, '=', 1)) IN ('local_preload_libraries', 'search_path',
       'session_preload_libraries', 'shared_preload_libraries', 'temp_tablespaces',
       'unix_socket_directories') AND substr(c, strpos(c, '=') + 1) <> ''
     THEN substr(c, strpos(c, '=') + 1)
     ELSE pg_catalog.quote_literal(substr(c, strpos(c, '=') + 1)) END
FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS c
WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database
                        WHERE datname = pg_catalog.current_database())
UNION ALL
SELECT 'REVOKE ' || a.privilege_type || ' ON DATABASE {database} FROM '
  || CASE a.grantee WHEN 0 THEN 'PUBLIC'
     ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
FROM pg_catalog.pg_database d,
  pg_catalog.aclexplode(pg_catalog.acldefault('d', d.datdba)) a
WHERE d.datname = pg_catalog.current_database() AND d.datacl IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(d.datacl) k
    WHERE k.grantee = a.grantee AND k.privilege_type = a.privilege_type)
UNION ALL
SELECT 'GRANT ' || a.privilege_type || ' ON DATABASE {database} TO '
  || CASE a.grantee WHEN 0 THEN 'PUBLIC'
     ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
  || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a
WHERE d.datname = pg_catalog.current_database() AND a.grantee <> d.datdba
UNION ALL
SELECT 'COMMENT ON DATABASE {database} IS '
  || pg_catalog.quote_literal(pg_catalog.shobj_description(d.oid, 'pg_database'))
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
  AND pg_catalog.shobj_description(d.oid, 'pg_database') IS NOT NULL
)";

std::string with(std::string query, const std::string& part) {
  const size_t at = query.find("%s");
  return query.replace(at, 2, part);
}

}  // namespace

std::string CatalogTable::quoted() const {
  return Connection::quote_identifier(schema) + "." + Connection::quote_identifier(name);
}

bool TableChoice::all() const {
  return schemas.empty() && exclude_schemas.empty() && tables.empty() && exclude_tables.empty();
}

bool TableChoice::includes(const std::string& schema, const std::string& table) const {
  if (any_matches(exclude_schemas, schema) || any_table_matches(exclude_tables, schema, table)) {
    return false;
  }
  if (schemas.empty() && tables.empty()) {
    return true;
  }
  return any_matches(schemas, schema) || any_table_matches(tables, schema, table);
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Backtracks to the last star only: that is enough, and linear in practice.
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') {
    ++p;
  }
  return p == pattern.size();
}

bool table_matches(std::string_view pattern, const std::string& schema, const std::string& table) {
  bool ended = false;
  const std::string first = take_part(pattern, ended);
  if (ended) {
    return glob_matches(first, table);
  }
  const std::string second = take_part(pattern, ended);
  return ended && glob_matches(first, schema) && glob_matches(second, table);
}

std::vector<CatalogTable> read_tables(const Context& context, Connection& connection,
                                      const TableChoice& choice) {
  const ResultSet rows = connection.run(context, with(kTables, kOurs));
  std::vector<CatalogTable> tables;
  for (const ResultSet::Row& row : rows.rows) {
    CatalogTable table;
    table.oid = static_cast<uint32_t>(number(row[0]));
    table.schema = row[1].value_or("");
    table.name = row[2].value_or("");
    if (!choice.includes(table.schema, table.name)) {
      continue;
    }
    table.partitioned = truth(row[3]);
    table.extension = row[4].value_or("");
    table.condition = row[5].value_or("");
    table.pages = number(row[6]);
    table.bytes = number(row[7]);
    table.readable = truth(row[8]);
    table.filtered = truth(row[9]);
    table.owner = row[10].value_or("");
    table.columns = names(row[11]);
    table.key_columns = names(row[12]);
    table.details = row[13].value_or("{}");
    table.unreachable = truth(row[14]);
    tables.push_back(std::move(table));
  }
  std::sort(tables.begin(), tables.end(), [](const CatalogTable& a, const CatalogTable& b) {
    return std::tie(b.bytes, a.schema, a.name) < std::tie(a.bytes, b.schema, b.name);
  });
  return tables;
}

std::vector<CatalogSequence> read_sequences(const Context& context, Connection& connection,
                                            const TableChoice& choice) {
  std::vector<CatalogSequence> sequences;
  const ResultSet rows = connection.run(context, with(kSequences, kOurs));
  for (const ResultSet::Row& row : rows.rows) {
    CatalogSequence sequence{.schema = row[0].value_or(""),
                             .name = row[1].value_or(""),
                             .table = row[2].value_or(""),
                             .last_value = {},
                             .called = false,
                             .readable = truth(row[3])};
    const size_t dot = sequence.table.find('.');
    const bool wanted =
        choice.includes(sequence.schema, sequence.name) ||
        (dot != std::string::npos &&
         choice.includes(sequence.table.substr(0, dot), sequence.table.substr(dot + 1)));
    if (!wanted) {
      continue;
    }
    if (!sequence.readable) {
      throw Error(ErrorCode::kPermission,
                  "the role may not read the sequence " + sequence.schema + "." + sequence.name,
                  "GRANT SELECT ON ALL SEQUENCES IN SCHEMA " +
                      Connection::quote_identifier(sequence.schema) + " TO " +
                      Connection::quote_identifier(connection.user()) + ";");
    }
    const ResultSet value =
        connection.run(context, "SELECT last_value, is_called FROM " +
                                    Connection::quote_identifier(sequence.schema) + "." +
                                    Connection::quote_identifier(sequence.name));
    sequence.last_value = value.text(0, 0);
    sequence.called = value.text(0, 1) == "t";
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

std::string refresh_script(const Context& context, Connection& connection,
                           const TableChoice& choice) {
  std::string script;
  for (const ResultSet::Row& row : connection.run(context, with(kRefresh, kOurs)).rows) {
    if (choice.includes(row[0].value_or(""), row[1].value_or(""))) {
      script += "REFRESH MATERIALIZED VIEW " + Connection::quote_identifier(row[0].value_or("")) +
                "." + Connection::quote_identifier(row[1].value_or("")) + ";\n";
    }
  }
  return script;
}

LargeObjectScripts large_object_scripts(const Context& context, Connection& connection) {
  LargeObjectScripts scripts;
  for (const ResultSet::Row& row : connection.run(context, kLargeObjects).rows) {
    const std::string oid = row[0].value_or("");
    scripts.create += "SELECT pg_catalog.lo_create(" + oid + ");\n";
    if (row[2]) {
      scripts.owners +=
          "COMMENT ON LARGE OBJECT " + oid + " IS " + connection.quote_literal(*row[2]) + ";\n";
    }
    if (row[3]) {
      scripts.owners += *row[3] + ";\n";
    }
    scripts.owners += "ALTER LARGE OBJECT " + oid + " OWNER TO " + row[1].value_or("") + ";\n";
  }
  return scripts;
}

DatabaseFacts read_database(const Context& context, Connection& connection) {
  const int version = connection.server_version();
  const char* locale = version >= 170000   ? "d.datlocprovider, d.datlocale"
                       : version >= 150000 ? "d.datlocprovider, d.daticulocale"
                                           : "'c', NULL";
  const ResultSet row = connection.run(context, with(kDatabase, locale));
  DatabaseFacts facts;
  facts.name = row.text(0, 0);
  facts.owner = row.text(0, 1);
  facts.encoding = row.text(0, 2);
  facts.collate = row.rows[0][3].value_or("");
  facts.ctype = row.rows[0][4].value_or("");
  facts.bytes = number(row.rows[0][5]);
  const std::string& provider = row.text(0, 6);
  facts.provider = provider == "i" ? "icu" : provider == "b" ? "builtin" : "libc";
  facts.locale = row.rows[0][7].value_or("");
  for (const ResultSet::Row& setting : connection.run(context, kSettings).rows) {
    facts.settings.push_back(setting[0].value_or(""));
  }
  return facts;
}

void require_readable(const std::vector<CatalogTable>& tables, const std::string& role,
                      int server_version) {
  constexpr size_t kNamed = 20;
  std::string denied;
  std::string filtered;
  size_t denied_count = 0;
  size_t filtered_count = 0;
  const auto add = [](std::string& list, size_t& count, const CatalogTable& table) {
    if (++count <= kNamed) {
      list += (list.empty() ? "" : ", ") + table.display();
    }
  };
  for (const CatalogTable& table : tables) {
    if (!table.readable) {
      add(denied, denied_count, table);
    } else if (table.filtered) {
      add(filtered, filtered_count, table);
    }
  }
  const std::string quoted = Connection::quote_identifier(role);
  const auto more = [](size_t count) {
    return count > kNamed ? fmt::format(" and {} more", count - kNamed) : "";
  };
  if (denied_count > 0) {
    throw Error(ErrorCode::kPermission,
                fmt::format("the role {} may not read {}{}", role, denied, more(denied_count)),
                (server_version >= 140000 ? "GRANT pg_read_all_data TO " + quoted + ";"
                                          : "GRANT USAGE ON SCHEMA ... TO " + quoted +
                                                "; GRANT SELECT ON ALL TABLES IN SCHEMA "
                                                "... TO " +
                                                quoted + ";") +
                    " Or leave them out with --exclude-table or --exclude-schema.");
  }
  if (filtered_count > 0) {
    throw Error(ErrorCode::kPermission,
                fmt::format("row level security hides rows of {}{} from the role {}", filtered,
                            more(filtered_count), role),
                "ALTER ROLE " + quoted +
                    " BYPASSRLS; (a backup with some of the rows would be none). Or connect as the "
                    "tables' owner, or leave them out with --exclude-table.");
  }
}

}  // namespace salvor::postgres
