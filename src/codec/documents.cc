#include "codec/documents.h"

#include <bit>
#include <charconv>

#include "base/error.h"
#include "base/secret.h"
#include "codec/go_json.h"
#include "codec/json_reader.h"

namespace salvor {
namespace {

using json_reader::fail;
using json_reader::Object;
using json_reader::Value;

// Documents are a few KiB; a snapshot with very many paths or tags may be larger.
constexpr size_t kMaxDocumentBytes = size_t{64} << 20;
constexpr size_t kSaltBytes = 64;

// Writes one JSON object, field by field.
class Writer {
 public:
  Writer() { out_.reserve(1024); }

  void open() { out_ += '{'; }
  void close() { out_ += '}'; }
  [[nodiscard]] std::string take() { return std::move(out_); }

  void key(std::string_view name) {
    if (out_.back() != '{') {
      out_ += ',';
    }
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }
  void text(std::string_view name, std::string_view value) {
    key(name);
    append_json_string(out_, value);
  }
  void text_unless_empty(std::string_view name, std::string_view value) {
    if (!value.empty()) {
      text(name, value);
    }
  }
  void number(std::string_view name, uint64_t value) {
    key(name);
    append_decimal(out_, value);
  }
  void number_unless_zero(std::string_view name, uint64_t value) {
    if (value != 0) {
      number(name, value);
    }
  }
  void boolean(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
  }
  void time(std::string_view name, const Timestamp& value) {
    key(name);
    out_ += '"';
    append_go_time(out_, value);
    out_ += '"';
  }
  void base64(std::string_view name, ByteView value) {
    key(name);
    out_ += '"';
    append_base64(out_, value);
    out_ += '"';
  }
  void texts(std::string_view name, const std::vector<std::string>& values) {
    key(name);
    out_ += '[';
    for (const std::string& value : values) {
      if (out_.back() != '[') {
        out_ += ',';
      }
      append_json_string(out_, value);
    }
    out_ += ']';
  }
  void texts_unless_empty(std::string_view name, const std::vector<std::string>& values) {
    if (!values.empty()) {
      texts(name, values);
    }
  }

 private:
  std::string out_;
};

// Parses one object and hands its fields to `on_field`.
template <class OnField>
void read_document(std::string_view name, ByteView json, OnField on_field) {
  json_reader::guard(name, [&] {
    json_reader::Reader reader;
    auto document = reader.open(json, kMaxDocumentBytes);
    json_reader::for_each_field(document.get_object(), on_field);
    reader.close(document);
  });
}

[[noreturn]] void damaged(std::string_view document, std::string_view what) {
  throw Error(ErrorCode::kDamaged, std::string(document) + " is damaged: " + std::string(what));
}

std::string read_text(Value& value) {
  std::string text;
  json_reader::read_string(value, text);
  return text;
}

std::vector<std::string> read_texts(Value& value) {
  std::vector<std::string> texts;
  for (auto element : value.get_array()) {
    Value item = element.value();
    json_reader::read_string(item, texts.emplace_back());
  }
  return texts;
}

uint64_t read_polynomial(Value& value) {
  const std::string_view text = json_reader::quoted_text(value);
  uint64_t polynomial = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), polynomial, 16);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail("malformed chunker polynomial");
  }
  return polynomial;
}

// restic's limits (section 2.1), so that a hostile key file cannot make us allocate gigabytes.
bool acceptable(const ScryptParameters& kdf) {
  constexpr uint64_t kMaxInt = 0x7fffffff;
  const uint64_t n = kdf.n;
  const uint64_t r = kdf.r;
  const uint64_t p = kdf.p;
  return n > 1 && std::has_single_bit(n) && r >= 1 && p >= 1 && r * p < (1U << 30) &&
         n <= kMaxInt / 128 / r;
}

// One part of a master key. The decoded copy is wiped.
void read_secret(Value& value, MutableBytes out) {
  Buffer decoded;
  const bool valid =
      from_base64(json_reader::quoted_text(value), decoded) && decoded.size() == out.size();
  if (valid) {
    std::memcpy(out.data(), decoded.data(), out.size());
  }
  wipe(decoded.data(), decoded.capacity());
  if (!valid) {
    fail("malformed key");
  }
}

// The counters of a summary, in the order they are written. One list for both directions.
struct Counter {
  std::string_view name;
  uint64_t SnapshotSummary::* member;
};

constexpr Counter kCounters[] = {
    {"files_new", &SnapshotSummary::files_new},
    {"files_changed", &SnapshotSummary::files_changed},
    {"files_unmodified", &SnapshotSummary::files_unmodified},
    {"dirs_new", &SnapshotSummary::dirs_new},
    {"dirs_changed", &SnapshotSummary::dirs_changed},
    {"dirs_unmodified", &SnapshotSummary::dirs_unmodified},
    {"data_blobs", &SnapshotSummary::data_blobs},
    {"tree_blobs", &SnapshotSummary::tree_blobs},
    {"data_added", &SnapshotSummary::data_added},
    {"data_added_packed", &SnapshotSummary::data_added_packed},
    {"total_files_processed", &SnapshotSummary::total_files_processed},
    {"total_bytes_processed", &SnapshotSummary::total_bytes_processed},
};

void write_summary(Writer& writer, const SnapshotSummary& summary) {
  writer.key("summary");
  writer.open();
  writer.time("backup_start", summary.backup_start);
  writer.time("backup_end", summary.backup_end);
  for (const Counter& counter : kCounters) {
    writer.number(counter.name, summary.*counter.member);
  }
  writer.close();
}

SnapshotSummary read_summary(Value& value) {
  SnapshotSummary summary;
  json_reader::for_each_field(value.get_object(), [&](std::string_view key, Value& item) {
    if (key == "backup_start") {
      summary.backup_start = json_reader::read_time(item);
    } else if (key == "backup_end") {
      summary.backup_end = json_reader::read_time(item);
    } else {
      for (const Counter& counter : kCounters) {
        if (counter.name == key) {
          summary.*counter.member = json_reader::read_unsigned<uint64_t>(item);
        }
      }
    }
  });
  return summary;
}

}  // namespace

std::string encode_config(const RepositoryConfig& config) {
  Writer writer;
  writer.open();
  writer.number("version", config.version);
  writer.text("id", config.id);
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, config.chunker_polynomial, 16).ptr;
  writer.text("chunker_polynomial", {digits, static_cast<size_t>(end - digits)});
  writer.close();
  return writer.take();
}

RepositoryConfig decode_config(ByteView json) {
  RepositoryConfig config;
  config.version = 0;
  read_document("config", json, [&](std::string_view key, Value& value) {
    if (key == "version") {
      config.version = json_reader::read_unsigned<unsigned>(value);
    } else if (key == "id") {
      config.id = read_text(value);
    } else if (key == "chunker_polynomial") {
      config.chunker_polynomial = read_polynomial(value);
    }
  });
  if (config.version != 1 && config.version != 2) {
    throw Error(ErrorCode::kFailed,
                "repository version " + std::to_string(config.version) + " is not supported",
                "Versions 1 and 2 are; a newer program may have written this repository.");
  }
  // The id names cache directories, so it must be nothing but digits.
  if (!IndexId::parse(config.id)) {
    damaged("config", "malformed repository id");
  }
  if (config.chunker_polynomial == 0) {
    damaged("config", "no chunker polynomial");
  }
  return config;
}

std::string encode_key(const KeyDocument& key) {
  Writer writer;
  writer.open();
  writer.time("created", key.created);
  writer.text("username", key.username);
  writer.text("hostname", key.hostname);
  writer.text("kdf", "scrypt");
  writer.number("N", key.kdf.n);
  writer.number("r", key.kdf.r);
  writer.number("p", key.kdf.p);
  writer.base64("salt", key.salt.view());
  writer.base64("data", key.data.view());
  writer.close();
  return writer.take();
}

KeyDocument decode_key(ByteView json) {
  KeyDocument key;
  key.kdf = {0, 0, 0};
  std::string kdf;
  read_document("key file", json, [&](std::string_view name, Value& value) {
    if (name == "created") {
      key.created = json_reader::read_time(value);
    } else if (name == "username") {
      key.username = read_text(value);
    } else if (name == "hostname") {
      key.hostname = read_text(value);
    } else if (name == "kdf") {
      kdf = read_text(value);
    } else if (name == "N") {
      key.kdf.n = json_reader::read_unsigned<uint32_t>(value);
    } else if (name == "r") {
      key.kdf.r = json_reader::read_unsigned<uint32_t>(value);
    } else if (name == "p") {
      key.kdf.p = json_reader::read_unsigned<uint32_t>(value);
    } else if (name == "salt") {
      key.salt = json_reader::read_base64(value);
    } else if (name == "data") {
      key.data = json_reader::read_base64(value);
    }
  });
  if (kdf != "scrypt") {
    damaged("key file", "unknown key derivation");
  }
  if (!acceptable(key.kdf)) {
    damaged("key file", "scrypt parameters out of range");
  }
  if (key.salt.size() != kSaltBytes) {
    damaged("key file", "salt of the wrong size");
  }
  return key;
}

std::string encode_master_key(const MasterKey& key) {
  // The writer's memory is reserved once, so no copy of the key stays behind in a smaller block.
  Writer writer;
  writer.open();
  writer.key("mac");
  writer.open();
  writer.base64("k", key.mac_k);
  writer.base64("r", key.mac_r);
  writer.close();
  writer.base64("encrypt", key.encrypt);
  writer.close();
  return writer.take();
}

MasterKey decode_master_key(ByteView json) {
  MasterKey key;
  json_reader::Reader reader;
  const auto read = [&] {
    auto document = reader.open(json, kMaxDocumentBytes);
    json_reader::for_each_field(document.get_object(), [&](std::string_view name, Value& value) {
      if (name == "encrypt") {
        read_secret(value, key.encrypt);
      } else if (name == "mac") {
        json_reader::for_each_field(value.get_object(), [&](std::string_view part, Value& item) {
          if (part == "k") {
            read_secret(item, key.mac_k);
          } else if (part == "r") {
            read_secret(item, key.mac_r);
          }
        });
      }
    });
    reader.close(document);
  };
  try {
    json_reader::guard("master key", read);
  } catch (...) {
    reader.wipe_input();
    throw;
  }
  reader.wipe_input();
  if (!key.valid()) {
    damaged("master key", "a part of it is missing or zero");
  }
  return key;
}

std::string encode_lock(const LockDocument& lock) {
  Writer writer;
  writer.open();
  writer.time("time", lock.time);
  writer.boolean("exclusive", lock.exclusive);
  writer.text("hostname", lock.hostname);
  writer.text("username", lock.username);
  writer.key("pid");
  std::string text = writer.take();
  text += std::to_string(lock.pid);
  if (lock.uid != 0) {
    text += ",\"uid\":";
    append_decimal(text, lock.uid);
  }
  if (lock.gid != 0) {
    text += ",\"gid\":";
    append_decimal(text, lock.gid);
  }
  text += '}';
  return text;
}

LockDocument decode_lock(ByteView json) {
  LockDocument lock;
  read_document("lock", json, [&](std::string_view key, Value& value) {
    if (key == "time") {
      lock.time = json_reader::read_time(value);
    } else if (key == "exclusive") {
      lock.exclusive = value.get_bool().value();
    } else if (key == "hostname") {
      lock.hostname = read_text(value);
    } else if (key == "username") {
      lock.username = read_text(value);
    } else if (key == "pid") {
      lock.pid = value.get_int64().value();
    } else if (key == "uid") {
      lock.uid = json_reader::read_unsigned<uint32_t>(value);
    } else if (key == "gid") {
      lock.gid = json_reader::read_unsigned<uint32_t>(value);
    }
  });
  return lock;
}

std::string encode_snapshot(const Snapshot& snapshot) {
  Writer writer;
  writer.open();
  writer.time("time", snapshot.time);
  if (snapshot.parent) {
    writer.text("parent", snapshot.parent->hex());
  }
  writer.text("tree", snapshot.tree.hex());
  writer.texts("paths", snapshot.paths);
  writer.text_unless_empty("hostname", snapshot.hostname);
  writer.text_unless_empty("username", snapshot.username);
  writer.number_unless_zero("uid", snapshot.uid);
  writer.number_unless_zero("gid", snapshot.gid);
  writer.texts_unless_empty("excludes", snapshot.excludes);
  writer.texts_unless_empty("tags", snapshot.tags);
  if (snapshot.original) {
    writer.text("original", snapshot.original->hex());
  }
  writer.text_unless_empty("program_version", snapshot.program_version);
  if (snapshot.summary) {
    write_summary(writer, *snapshot.summary);
  }
  writer.close();
  return writer.take();
}

Snapshot decode_snapshot(ByteView json) {
  Snapshot snapshot;
  bool has_tree = false;
  read_document("snapshot", json, [&](std::string_view key, Value& value) {
    if (key == "time") {
      snapshot.time = json_reader::read_time(value);
    } else if (key == "parent") {
      snapshot.parent = json_reader::read_id<SnapshotId>(value);
    } else if (key == "tree") {
      snapshot.tree = json_reader::read_id<BlobId>(value);
      has_tree = true;
    } else if (key == "paths") {
      snapshot.paths = read_texts(value);
    } else if (key == "hostname") {
      snapshot.hostname = read_text(value);
    } else if (key == "username") {
      snapshot.username = read_text(value);
    } else if (key == "uid") {
      snapshot.uid = json_reader::read_unsigned<uint32_t>(value);
    } else if (key == "gid") {
      snapshot.gid = json_reader::read_unsigned<uint32_t>(value);
    } else if (key == "excludes") {
      snapshot.excludes = read_texts(value);
    } else if (key == "tags") {
      snapshot.tags = read_texts(value);
    } else if (key == "original") {
      snapshot.original = json_reader::read_id<SnapshotId>(value);
    } else if (key == "program_version") {
      snapshot.program_version = read_text(value);
    } else if (key == "summary") {
      snapshot.summary = read_summary(value);
    }
  });
  if (!has_tree) {
    damaged("snapshot", "it has no tree");
  }
  return snapshot;
}

}  // namespace salvor
