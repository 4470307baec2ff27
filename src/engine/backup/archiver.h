// Makes a snapshot of a source.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "connector/source.h"
#include "engine/backup/backup_progress.h"
#include "engine/backup/tree_builder.h"
#include "repo/repository.h"
#include "repo/write_session.h"

namespace salvor {

struct BackupOptions {
  // What the snapshot says.
  Timestamp time;
  std::string hostname;
  std::string username;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<std::string> tags;
  std::vector<std::string> excludes;
  std::string program_version;

  std::optional<StoredSnapshot> parent;  // compare with it; nothing: read everything
  bool skip_if_unchanged = false;
  ChangeDetection detection;
  unsigned read_concurrency = 2;
  unsigned cpu_threads = 0;               // 0: one for each processor
  size_t memory_bytes = size_t{8} << 20;  // of file content under way
  WriteOptions write;
};

struct BackupResult {
  std::optional<SnapshotId> snapshot;  // nothing: dry run, or unchanged
  bool unchanged = false;              // skipped because nothing had changed
  BlobId tree;
  SnapshotSummary summary;
  uint64_t errors = 0;  // items that are missing from the snapshot or may be mixtures
};

// Blocks until everything is durable. The caller holds a shared lock and has loaded the index under
// it. Throws Error when no snapshot was made; what had been uploaded by then is indexed and serves
// the next run.
class Archiver {
 public:
  explicit Archiver(Repository& repository) : repository_(repository) {}

  [[nodiscard]] BackupResult run(const Context& context, Source& source,
                                 const BackupOptions& options);
  [[nodiscard]] const BackupProgress& progress() const { return progress_; }

 private:
  [[nodiscard]] std::optional<BlobId> store(const Context& context, Source& source,
                                            WriteSession& session, const BackupOptions& options);
  [[nodiscard]] Snapshot describe(const Source& source, const BackupOptions& options) const;
  [[nodiscard]] SnapshotSummary summarize(const Context& context, const WriteCounters& counters,
                                          WallTime start) const;

  Repository& repository_;
  BackupProgress progress_;
};

// What must agree between a snapshot and a new backup for the one to be the other's parent.
struct ParentRule {
  bool same_host = true;
  bool same_paths = true;
  bool same_tags = false;
};

// choose_parent from what is stored. A snapshot that cannot be read is told as a warning and is not
// chosen: that costs time, never content.
[[nodiscard]] std::optional<StoredSnapshot> find_parent(const Context& context,
                                                        const Repository& repository,
                                                        const BackupOptions& options,
                                                        const std::vector<std::string>& paths,
                                                        const ParentRule& rule);
// restic's choice (restic format, section 7): the newest snapshot not newer than `options.time`
// that agrees. `paths` is a subset test. Nothing when there is none.
[[nodiscard]] std::optional<StoredSnapshot> choose_parent(std::span<const StoredSnapshot> snapshots,
                                                          const BackupOptions& options,
                                                          const std::vector<std::string>& paths,
                                                          const ParentRule& rule);

}  // namespace salvor
