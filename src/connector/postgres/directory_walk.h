// Reads the files of a live data directory into a TreeSink, on several threads: all that a physical
// backup holds but pg_control, backup_label, tablespace_map, WAL and the manifest
// (directory_source.h).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/memory_budget.h"
#include "base/task.h"
#include "connector/files/metadata.h"
#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/backup_results.h"
#include "connector/postgres/incremental_plan.h"

namespace salvor::postgres {

struct WalkOptions {
  std::string directory;
  std::string version_directory;  // in tablespaces: "PG_15_202209061"
  bool check_pages = false;
  Lsn start;
  uint64_t cell = 0;  // of relation files (page_parts.h)
  unsigned threads = 4;
  MemoryBudget& budget;  // for small files
  std::shared_ptr<BackupResults> results;
  const EarlierBackup* earlier = nullptr;
  // Of the earlier backup's files, if they may be taken over at all: size and checksum.
  const std::unordered_map<std::string, RebuiltFile>* known = nullptr;
};

// A file of the manifest; its checksum is in the results.
struct WalkedFile {
  std::string path;
  Timestamp modified;
};

// Throws what a file or directory that cannot be read, or the sink, throws.
class DirectoryWalk {
 public:
  DirectoryWalk(const Context& context, TreeSink& sink, WalkOptions options);

  // Returns when everything has been handed to the sink; the engine may still be reading.
  void run();
  // After run: the directories that are still open (by path): "", "global", "pg_wal" and those in
  // it.
  [[nodiscard]] const std::map<std::string, TreeSink::Directory*>& open() const { return open_; }
  [[nodiscard]] const std::vector<WalkedFile>& files() const { return files_; }
  [[nodiscard]] uint64_t taken_over() const { return taken_over_; }

 private:
  struct Folder {
    std::string path;      // in the backup: "" or "base/5"
    std::string location;  // on disk
    TreeSink::Directory* directory = nullptr;
  };

  void visit(const Folder& folder);
  void visit_entries(const Folder& folder, int fd);
  void visit_wal(const Folder& folder);
  void enter(const Folder& parent, const std::string& name, const struct stat& status,
             const std::string& location, MetadataReader& metadata);
  void link(const Folder& folder, const std::string& name, MetadataReader& metadata);
  void file(const Folder& folder, int folder_fd, const std::string& name, MetadataReader& metadata);
  [[nodiscard]] bool take_over(const std::string& path, Node& node) const;
  void note(const std::string& path, const Node& node);

  const Context context_;
  TreeSink& sink_;
  const WalkOptions options_;
  ThreadPool pool_;
  TaskGroup group_;
  std::atomic<uint64_t> taken_over_ = 0;
  std::mutex mutex_;  // guards what follows
  std::map<std::string, TreeSink::Directory*> open_;
  std::vector<WalkedFile> files_;
};

}  // namespace salvor::postgres
