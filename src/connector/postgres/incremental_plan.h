// Whether a backup can be made of an earlier one and what has changed since, and against what.
//
// Nothing here trusts that a chain of events went well: an earlier backup counts only if it is of
// the same cluster, timeline and kind of pages, undamaged, and its content still in the repository.
// Files that should be read whole are left out of the manifest that the server gets: it sends them
// so. That is a rolling share of all (what an incremental backup does not look at could rot
// unseen), and what servers are known to get wrong.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "connector/postgres/backup_facts.h"
#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/connection.h"
#include "connector/postgres/incremental_file.h"

namespace salvor::postgres {

// An earlier snapshot of the cluster.
struct EarlierBackup {
  BackupFacts facts;
  std::string name;  // for messages
  const EarlierFiles* files = nullptr;
  // How many of a hundred files are read whole in this run, and which ones: that whose turn it is.
  unsigned reread_percent = 5;
  uint64_t turn = 0;
  // Pages that have not changed since then are cold. 0: unknown.
  Lsn hot_since;
  // Read everything, and only keep the shape of the blobs.
  bool full = false;
};

struct IncrementalPlan {
  std::string refusal;   // why it cannot be done; then the rest is empty
  std::string manifest;  // for UPLOAD_MANIFEST
  std::unordered_map<std::string, EarlierFile> files;  // that the server may send incrementally
  size_t reread = 0;  // relation files that are read whole although they need not be
};

// What the server says about itself.
struct ServerState {
  SystemIdentity identity;
  int version = 0;  // 180004
  bool page_checksums = false;
  bool summarizes_wal = false;  // summarize_wal
};

[[nodiscard]] IncrementalPlan plan_incremental(const Context& context, const EarlierBackup& earlier,
                                               const ServerState& server);

// The files that a server of this version would send wrongly or not at all if it were told of them:
// visibility maps before 17.11 and 18.5, relations of several segments before 17.8 and 18.2.
[[nodiscard]] std::unordered_set<std::string> sent_whole(const BackupManifest& manifest,
                                                         int version);

// Whether a file is read whole in this run: over 100 / reread_percent runs each has its turn once.
[[nodiscard]] bool has_turn(const std::string& path, const EarlierBackup& earlier);

// One file's content. Throws Error{kDamaged} when it cannot be had.
[[nodiscard]] Buffer read_earlier(const Context& context, const EarlierFiles& files,
                                  const std::string& path);

}  // namespace salvor::postgres
