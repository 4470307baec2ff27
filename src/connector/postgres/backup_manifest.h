// backup_manifest: the server's list of a base backup's files, with checksums (13 and later).
//
// Source: PostgreSQL's documentation, "Backup Manifest Format". Version 2 (17 and later) adds the
// system identifier.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

struct ManifestFile {
  std::string path;  // raw bytes, relative to the data directory
  uint64_t size = 0;
  std::string modified;   // "2026-11-21 06:55:20 GMT", kept as it is
  std::string algorithm;  // "CRC32C", "SHA256" ...; empty: none
  std::string checksum;   // raw bytes
};

struct ManifestWalRange {
  Timeline timeline;
  Lsn start;
  Lsn end;
};

struct BackupManifest {
  unsigned version = 1;
  std::optional<uint64_t> system_identifier;  // version 2
  std::vector<ManifestFile> files;
  std::vector<ManifestWalRange> wal_ranges;
};

// Verifies the manifest's own SHA-256. Throws Error{kDamaged} for what is not a manifest; input
// limit 4 GiB - 1.
[[nodiscard]] BackupManifest parse_backup_manifest(ByteView json);
// As a server writes it, with the right checksum of its own. `size_only`: without times and
// checksums of files, which is all that a server wants from UPLOAD_MANIFEST.
[[nodiscard]] std::string format_backup_manifest(const BackupManifest& manifest,
                                                 bool size_only = false);

}  // namespace salvor::postgres
