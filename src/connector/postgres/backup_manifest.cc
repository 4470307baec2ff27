#include "connector/postgres/backup_manifest.h"

#include <algorithm>

#include <fmt/format.h>

#include "codec/go_json.h"
#include "codec/json_reader.h"
#include "crypto/sha256.h"

namespace salvor::postgres {
namespace {

constexpr size_t kLimit = UINT32_MAX;
constexpr std::string_view kChecksumKey = "\"Manifest-Checksum\"";

std::string read_hex_bytes(json_reader::Value& value) {
  std::string hex;
  json_reader::read_string(value, hex);
  std::string bytes(hex.size() / 2, '\0');
  if (!from_hex(hex, std::as_writable_bytes(std::span(bytes)))) {
    json_reader::fail("malformed hexadecimal text");
  }
  return bytes;
}

Lsn read_lsn(json_reader::Value& value) {
  std::string text;
  json_reader::read_string(value, text);
  const auto lsn = Lsn::parse(text);
  if (!lsn) {
    json_reader::fail("malformed log position");
  }
  return *lsn;
}

ManifestFile read_file_entry(json_reader::Object object) {
  ManifestFile file;
  bool sized = false;
  json_reader::for_each_field(object, [&](std::string_view key, json_reader::Value& value) {
    if (key == "Path") {
      json_reader::read_string(value, file.path);
    } else if (key == "Encoded-Path") {
      file.path = read_hex_bytes(value);
    } else if (key == "Size") {
      file.size = json_reader::read_unsigned<uint64_t>(value);
      sized = true;
    } else if (key == "Last-Modified") {
      json_reader::read_string(value, file.modified);
    } else if (key == "Checksum-Algorithm") {
      json_reader::read_string(value, file.algorithm);
    } else if (key == "Checksum") {
      file.checksum = read_hex_bytes(value);
    }
  });
  if (file.path.empty() || !sized) {
    json_reader::fail("a file without path or size");
  }
  return file;
}

ManifestWalRange read_range(json_reader::Object object) {
  ManifestWalRange range;
  json_reader::for_each_field(object, [&](std::string_view key, json_reader::Value& value) {
    if (key == "Timeline") {
      range.timeline = {json_reader::read_unsigned<uint32_t>(value)};
    } else if (key == "Start-LSN") {
      range.start = read_lsn(value);
    } else if (key == "End-LSN") {
      range.end = read_lsn(value);
    }
  });
  if (range.timeline.value == 0 || range.end < range.start) {
    json_reader::fail("a WAL range that is none");
  }
  return range;
}

void verify_checksum(ByteView json, const std::string& expected) {
  const size_t at = as_text(json).rfind(kChecksumKey);
  if (at == std::string_view::npos ||
      as_text(ByteView(sha256(json.first(at)))) != std::string_view(expected)) {
    json_reader::fail("its own checksum is wrong");
  }
}

BackupManifest read_manifest(ByteView json) {
  BackupManifest manifest;
  std::string checksum;
  json_reader::Reader reader;
  json_reader::Document document = reader.open(json, kLimit);
  json_reader::for_each_field(
      document.get_object().value(), [&](std::string_view key, json_reader::Value& value) {
        if (key == "PostgreSQL-Backup-Manifest-Version") {
          manifest.version = json_reader::read_unsigned<unsigned>(value);
        } else if (key == "System-Identifier") {
          manifest.system_identifier = json_reader::read_unsigned<uint64_t>(value);
        } else if (key == "Files") {
          for (auto element : value.get_array()) {
            manifest.files.push_back(read_file_entry(element.get_object().value()));
          }
        } else if (key == "WAL-Ranges") {
          for (auto element : value.get_array()) {
            manifest.wal_ranges.push_back(read_range(element.get_object().value()));
          }
        } else if (key == "Manifest-Checksum") {
          checksum = read_hex_bytes(value);
        }
      });
  reader.close(document);
  if (manifest.version != 1 && manifest.version != 2) {
    json_reader::fail("unknown version");
  }
  if (manifest.version == 2 && !manifest.system_identifier) {
    json_reader::fail("no system identifier");
  }
  if (manifest.wal_ranges.empty()) {
    json_reader::fail("no WAL range");
  }
  verify_checksum(json, checksum);
  return manifest;
}

// Plain names are written as they are; whatever JSON would have to escape, encoded.
void append_path(std::string& out, const std::string& path) {
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
  if (plain) {
    out += "\"Path\": \"" + path + "\"";
  } else {
    out += "\"Encoded-Path\": \"" + to_hex(as_bytes(path)) + "\"";
  }
}

}  // namespace

std::string format_backup_manifest(const BackupManifest& manifest, bool size_only) {
  std::string out =
      fmt::format("{{ \"PostgreSQL-Backup-Manifest-Version\": {},\n", manifest.version);
  if (manifest.system_identifier) {
    out += fmt::format("\"System-Identifier\": {},\n", *manifest.system_identifier);
  }
  out += "\"Files\": [";
  const char* separator = "\n";
  for (const ManifestFile& file : manifest.files) {
    out += separator;
    out += "{ ";
    append_path(out, file.path);
    out += fmt::format(", \"Size\": {}", file.size);
    if (!size_only) {
      out += ", \"Last-Modified\": ";
      append_json_string(out, file.modified);
      if (!file.algorithm.empty()) {
        out += fmt::format(", \"Checksum-Algorithm\": \"{}\", \"Checksum\": \"{}\"", file.algorithm,
                           to_hex(as_bytes(file.checksum)));
      }
    }
    out += " }";
    separator = ",\n";
  }
  out += "\n],\n\"WAL-Ranges\": [";
  separator = "\n";
  for (const ManifestWalRange& range : manifest.wal_ranges) {
    out += fmt::format("{}{{ \"Timeline\": {}, \"Start-LSN\": \"{}\", \"End-LSN\": \"{}\" }}",
                       separator, range.timeline.value, range.start.text(), range.end.text());
    separator = ",\n";
  }
  out += "\n],\n";
  const Digest digest = sha256(as_bytes(out));
  out += fmt::format("{}: \"{}\"}}\n", kChecksumKey, to_hex(digest));
  return out;
}

BackupManifest parse_backup_manifest(ByteView json) {
  return json_reader::guard("backup_manifest", [&] { return read_manifest(json); });
}

}  // namespace salvor::postgres
