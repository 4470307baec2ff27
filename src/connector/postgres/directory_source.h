// A running cluster as a Source, from its data directory on this machine: the tree that
// physical_source.h describes, read by several threads instead of through one server process.
//
// The server is in backup mode meanwhile (live_backup.h). pg_control is read after everything else,
// backup_label and tablespace_map are the server's, backup_manifest is made here as the server
// would, the WAL from start to stop is copied from pg_wal. Damaged pages make the run incomplete
// and mark the backup; anything else that cannot be read means that there is no backup.
//
// A file is taken over from the last backup when that was made from the directory, too, and size,
// times (of content and of inode, to the nanosecond), inode and device are what they were, the
// times lying at least two seconds before that backup began to read. The server writes its files by
// write() only, after which the times are those of the writing: later than the reading, so they
// differ. A clock that is set back does not matter, as equal times are asked for. A share of files
// (EarlierBackup::reread_percent) is read nevertheless.
#pragma once

#include <memory>

#include "connector/postgres/cluster_source.h"
#include "connector/postgres/connection.h"

namespace salvor::postgres {

struct DirectoryOptions {
  ConnectionTarget target;
  std::string directory;
  std::string label = "salvor";
  bool fast_checkpoint = true;
  unsigned threads = 4;  // that list directories and read small files
};

class DirectorySource final : public ClusterSource {
 public:
  // Connects and compares: throws as Connection does, Error{kFailed} when the server is not the
  // directory's, Error{kPermission} when the directory cannot be read.
  DirectorySource(const Context& context, DirectoryOptions options);
  ~DirectorySource() override;

  [[nodiscard]] std::vector<std::string> paths() const override;
  [[nodiscard]] std::vector<std::string> tags() const override;
  void stream_into(const Context& context, TreeSink& sink) override;
  void finish(const Context& context) override;

  void build_upon(EarlierBackup earlier, std::function<void(const std::string&)> tell) override;
  [[nodiscard]] uint64_t system_identifier() const override;
  [[nodiscard]] const std::string& server_version() const override;
  [[nodiscard]] std::string display() const override;
  [[nodiscard]] bool page_checksums() const override;
  [[nodiscard]] uint64_t estimated_bytes() const override;
  [[nodiscard]] const BackupFacts& facts() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor::postgres
