#include "connector/postgres/logical/dump_manifest.h"

#include <algorithm>

#include <fmt/format.h>

#include "codec/go_json.h"
#include "codec/json_reader.h"

namespace salvor::postgres {
namespace {

constexpr size_t kLimit = size_t{1} << 30;
constexpr const char* kKind = "salvor-postgresql-dump";

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  Writer& open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  Writer& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  Writer& key(std::string_view name) {
    comma();
    append_json_string(out_, name);
    out_ += ':';
    first_ = true;
    return *this;
  }
  Writer& text(std::string_view value) {
    comma();
    append_json_string(out_, value);
    return *this;
  }
  Writer& raw(std::string_view value) {
    comma();
    out_ += value;
    return *this;
  }
  Writer& field(std::string_view name, std::string_view value) { return key(name).text(value); }
  Writer& number(std::string_view name, uint64_t value) {
    return key(name).raw(std::to_string(value));
  }
  Writer& flag(std::string_view name, bool value) {
    return key(name).raw(value ? "true" : "false");
  }
  Writer& list(std::string_view name, const std::vector<std::string>& values) {
    key(name).open('[');
    for (const std::string& value : values) {
      text(value);
    }
    return close(']');
  }
  Writer& line() {
    newline_ = true;
    return *this;
  }

 private:
  void comma() {
    if (!first_) {
      out_ += ',';
    }
    if (newline_) {
      out_ += '\n';
      newline_ = false;
    }
    first_ = false;
  }
  std::string& out_;
  bool first_ = true;
  bool newline_ = false;
};

void write_table(Writer& json, const DumpTable& table) {
  json.line().open('{');
  json.field("schema", table.schema).field("name", table.name).field("owner", table.owner);
  json.field("directory", table.directory).number("rows", table.rows);
  json.flag("partitioned", table.partitioned);
  if (!table.extension.empty()) {
    json.field("extension", table.extension);
  }
  json.list("columns", table.columns).list("key", table.key).key("parts").open('[');
  for (const DumpPart& part : table.parts) {
    json.open('{').field("file", part.file).number("rows", part.rows).number("bytes", part.bytes);
    json.close('}');
  }
  json.close(']').key("details").raw(table.details).close('}');
}

using json_reader::Value;

std::string text_of(Value& value) {
  std::string text;
  json_reader::read_string(value, text);
  return text;
}

std::vector<std::string> texts_of(Value& value) {
  std::vector<std::string> texts;
  for (auto element : value.get_array()) {
    Value item = element.value();
    texts.push_back(text_of(item));
  }
  return texts;
}

template <class Each>
void each_object(Value& value, Each each) {
  for (auto element : value.get_array()) {
    each(element.get_object().value());
  }
}

DumpColumn read_column(json_reader::Object object) {
  DumpColumn column;
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "name") {
      column.name = text_of(value);
    } else if (key == "type") {
      column.type = text_of(value);
    } else if (key == "not_null") {
      column.not_null = value.get_bool();
    } else if (key == "default") {
      column.default_expression = text_of(value);
    } else if (key == "identity") {
      column.identity = text_of(value);
    } else if (key == "generated") {
      column.generated = text_of(value);
    } else if (key == "collation") {
      column.collation = text_of(value);
    }
  });
  return column;
}

DumpConstraint read_constraint(json_reader::Object object) {
  DumpConstraint constraint;
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "name") {
      constraint.name = text_of(value);
    } else if (key == "kind") {
      const std::string kind = text_of(value);
      constraint.kind = kind.empty() ? 'c' : kind.front();
    } else if (key == "definition") {
      constraint.definition = text_of(value);
    } else if (key == "references") {
      constraint.references = text_of(value);
    }
  });
  return constraint;
}

void read_details(json_reader::Object object, DumpTable& table) {
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "partition_of") {
      table.partition_of = text_of(value);
    } else if (key == "columns") {
      each_object(
          value, [&](json_reader::Object item) { table.all_columns.push_back(read_column(item)); });
    } else if (key == "constraints") {
      each_object(value, [&](json_reader::Object item) {
        table.constraints.push_back(read_constraint(item));
      });
    } else if (key == "indexes") {
      each_object(value, [&](json_reader::Object item) {
        DumpIndex index;
        json_reader::for_each_field(item, [&](std::string_view name, Value& content) {
          if (name == "name") {
            index.name = text_of(content);
          } else if (name == "definition") {
            index.definition = text_of(content);
          }
        });
        table.indexes.push_back(std::move(index));
      });
    }
  });
}

DumpPart read_part(json_reader::Object object) {
  DumpPart part;
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "file") {
      part.file = text_of(value);
    } else if (key == "rows") {
      part.rows = json_reader::read_unsigned<uint64_t>(value);
    } else if (key == "bytes") {
      part.bytes = json_reader::read_unsigned<uint64_t>(value);
    }
  });
  return part;
}

DumpTable read_table(json_reader::Object object) {
  DumpTable table;
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "schema") {
      table.schema = text_of(value);
    } else if (key == "name") {
      table.name = text_of(value);
    } else if (key == "owner") {
      table.owner = text_of(value);
    } else if (key == "directory") {
      table.directory = text_of(value);
    } else if (key == "extension") {
      table.extension = text_of(value);
    } else if (key == "rows") {
      table.rows = json_reader::read_unsigned<uint64_t>(value);
    } else if (key == "partitioned") {
      table.partitioned = value.get_bool();
    } else if (key == "columns") {
      table.columns = texts_of(value);
    } else if (key == "key") {
      table.key = texts_of(value);
    } else if (key == "parts") {
      each_object(value, [&](json_reader::Object item) { table.parts.push_back(read_part(item)); });
    } else if (key == "details") {
      read_details(value.get_object().value(), table);
    }
  });
  if (table.schema.empty() || table.name.empty()) {
    json_reader::fail("a table without a name");
  }
  // It becomes a path.
  if (table.directory.find('/') != std::string::npos || table.directory == "..") {
    json_reader::fail("a table's directory is none");
  }
  return table;
}

CatalogSequence read_sequence(json_reader::Object object) {
  CatalogSequence sequence;
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "schema") {
      sequence.schema = text_of(value);
    } else if (key == "name") {
      sequence.name = text_of(value);
    } else if (key == "table") {
      sequence.table = text_of(value);
    } else if (key == "last_value") {
      sequence.last_value = text_of(value);
    } else if (key == "is_called") {
      sequence.called = value.get_bool();
    }
  });
  // It becomes a part of a command.
  const std::string& digits = sequence.last_value;
  if (digits.empty() || digits.find_first_not_of("-0123456789") != std::string::npos) {
    json_reader::fail("a sequence's value is no number");
  }
  return sequence;
}

void read_database(json_reader::Object object, DatabaseFacts& facts) {
  json_reader::for_each_field(object, [&](std::string_view key, Value& value) {
    if (key == "name") {
      facts.name = text_of(value);
    } else if (key == "owner") {
      facts.owner = text_of(value);
    } else if (key == "encoding") {
      facts.encoding = text_of(value);
    } else if (key == "collate") {
      facts.collate = text_of(value);
    } else if (key == "ctype") {
      facts.ctype = text_of(value);
    } else if (key == "provider") {
      facts.provider = text_of(value);
    } else if (key == "locale") {
      facts.locale = text_of(value);
    } else if (key == "bytes") {
      facts.bytes = json_reader::read_unsigned<uint64_t>(value);
    } else if (key == "settings") {
      facts.settings = texts_of(value);
    }
  });
}

DumpManifest read_manifest(ByteView json) {
  DumpManifest manifest;
  std::string kind;
  json_reader::Reader reader;
  json_reader::Document document = reader.open(json, kLimit);
  json_reader::for_each_field(
      document.get_object().value(), [&](std::string_view key, Value& value) {
        if (key == "kind") {
          kind = text_of(value);
        } else if (key == "format") {
          if (json_reader::read_unsigned<uint32_t>(value) > kDumpFormat) {
            throw Error(ErrorCode::kFailed, "the backup was made by a newer version of salvor",
                        "Update this program.");
          }
        } else if (key == "server_version") {
          manifest.server_version = json_reader::read_unsigned<int>(value);
        } else if (key == "server") {
          manifest.server = text_of(value);
        } else if (key == "time_micros") {
          manifest.time =
              WallTime(std::chrono::microseconds(json_reader::read_unsigned<uint64_t>(value)));
        } else if (key == "wal_position") {
          manifest.wal_position = text_of(value);
        } else if (key == "order") {
          manifest.order = text_of(value);
        } else if (key == "schema") {
          manifest.has_schema = value.get_bool();
        } else if (key == "complete") {
          manifest.complete = value.get_bool();
        } else if (key == "large_objects") {
          manifest.large_objects = json_reader::read_unsigned<uint64_t>(value);
        } else if (key == "large_object_rows") {
          manifest.large_object_rows = json_reader::read_unsigned<uint64_t>(value);
        } else if (key == "database") {
          read_database(value.get_object().value(), manifest.database);
        } else if (key == "tables") {
          each_object(value, [&](json_reader::Object item) {
            manifest.tables.push_back(read_table(item));
          });
        } else if (key == "sequences") {
          each_object(value, [&](json_reader::Object item) {
            manifest.sequences.push_back(read_sequence(item));
          });
        }
      });
  reader.close(document);
  if (kind != kKind) {
    json_reader::fail("it is not a logical backup's");
  }
  return manifest;
}

}  // namespace

std::string DumpTable::quoted() const {
  return Connection::quote_identifier(schema) + "." + Connection::quote_identifier(name);
}

const DumpColumn* DumpTable::column(const std::string& wanted) const {
  const auto found = std::find_if(all_columns.begin(), all_columns.end(),
                                  [&](const DumpColumn& column) { return column.name == wanted; });
  return found == all_columns.end() ? nullptr : &*found;
}

std::string to_json(const DumpManifest& manifest) {
  std::string out;
  Writer json(out);
  json.open('{').field("kind", kKind).number("format", kDumpFormat);
  json.line().number("server_version", static_cast<uint64_t>(manifest.server_version));
  json.field("server", manifest.server);
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(manifest.time.time_since_epoch());
  json.number("time_micros", static_cast<uint64_t>(micros.count()));
  json.field("wal_position", manifest.wal_position).field("order", manifest.order);
  json.flag("schema", manifest.has_schema).flag("complete", manifest.complete);
  json.number("large_objects", manifest.large_objects);
  json.number("large_object_rows", manifest.large_object_rows);
  const DatabaseFacts& facts = manifest.database;
  json.line().key("database").open('{').field("name", facts.name).field("owner", facts.owner);
  json.field("encoding", facts.encoding).field("collate", facts.collate);
  json.field("ctype", facts.ctype).field("provider", facts.provider);
  json.field("locale", facts.locale).number("bytes", facts.bytes);
  json.list("settings", facts.settings).close('}');
  json.line().key("tables").open('[');
  for (const DumpTable& table : manifest.tables) {
    write_table(json, table);
  }
  json.close(']').line().key("sequences").open('[');
  for (const CatalogSequence& sequence : manifest.sequences) {
    json.line().open('{').field("schema", sequence.schema).field("name", sequence.name);
    json.field("table", sequence.table).field("last_value", sequence.last_value);
    json.flag("is_called", sequence.called).close('}');
  }
  json.close(']').close('}');
  return out + "\n";
}

DumpManifest parse_dump_manifest(ByteView json) {
  return json_reader::guard("the backup's manifest", [&] { return read_manifest(json); });
}

DumpTable describe_table(const CatalogTable& table) {
  DumpTable entry;
  entry.schema = table.schema;
  entry.name = table.name;
  entry.owner = table.owner;
  entry.extension = table.extension;
  entry.partitioned = table.partitioned;
  entry.columns = table.columns;
  entry.key = table.key_columns;
  entry.details = table.details;
  entry.directory = table_directory(table.schema, table.name, table.oid);
  json_reader::guard("a table's description", [&] {
    json_reader::Reader reader;
    json_reader::Document document = reader.open(as_bytes(table.details), kLimit);
    read_details(document.get_object().value(), entry);
    return 0;
  });
  return entry;
}

std::string table_directory(const std::string& schema, const std::string& table, uint32_t oid) {
  std::string name;
  const auto add = [&name](const std::string& part) {
    for (const char c : part) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || c == '/' || c == '%' || c == '.' || byte == 0x7f) {
        name += fmt::format("%{:02X}", byte);
      } else {
        name += c;
      }
    }
  };
  add(schema);
  name += '.';
  add(table);
  constexpr size_t kNameMax = 255;
  return name.size() <= kNameMax ? name : "relation-" + std::to_string(oid);
}

}  // namespace salvor::postgres
