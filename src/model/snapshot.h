// A snapshot: a root tree and what is known about how it came to be (restic format, section 7).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/id.h"
#include "model/timestamp.h"

namespace salvor {

// Counts of one backup, stored in the snapshot by restic 0.17 and later.
struct SnapshotSummary {
  Timestamp backup_start;
  Timestamp backup_end;
  uint64_t files_new = 0;
  uint64_t files_changed = 0;
  uint64_t files_unmodified = 0;
  uint64_t dirs_new = 0;
  uint64_t dirs_changed = 0;
  uint64_t dirs_unmodified = 0;
  uint64_t data_blobs = 0;
  uint64_t tree_blobs = 0;
  uint64_t data_added = 0;         // plaintext bytes of new blobs
  uint64_t data_added_packed = 0;  // their stored bytes
  uint64_t total_files_processed = 0;
  uint64_t total_bytes_processed = 0;
  friend bool operator==(const SnapshotSummary&, const SnapshotSummary&) = default;
};

struct Snapshot {
  Timestamp time;
  std::optional<SnapshotId> parent;
  BlobId tree;
  std::vector<std::string> paths;
  std::string hostname;
  std::string username;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<std::string> excludes;
  std::vector<std::string> tags;
  std::optional<SnapshotId> original;
  std::string program_version;
  std::optional<SnapshotSummary> summary;
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

// A snapshot together with its name.
struct StoredSnapshot {
  SnapshotId id;
  Snapshot snapshot;
};

}  // namespace salvor
