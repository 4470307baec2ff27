// What BASE_BACKUP sends, turned into a tree, with everything checked that can be: see
// physical_source.h.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/memory_budget.h"
#include "connector/postgres/backup_results.h"
#include "connector/postgres/base_backup.h"
#include "connector/postgres/control_file.h"
#include "connector/postgres/incremental_plan.h"
#include "connector/postgres/page.h"
#include "connector/postgres/streamed_file.h"
#include "connector/postgres/tar_parser.h"
#include "connector/source.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {

struct ReceiverOptions {
  bool check_pages = false;
  // Limits the small files in memory; they may outlive the receiver, so it must, too.
  MemoryBudget& budget;
  // Gets the server's estimate as soon as it is known.
  std::atomic<uint64_t>& estimated_bytes;
  // Gets what is learned while files are read.
  std::shared_ptr<BackupResults> results;
  // The backup before this one, if any, and the plan if the server sends only what has changed.
  const EarlierBackup* earlier = nullptr;
  const IncrementalPlan* plan = nullptr;
};

// Not thread-safe: driven by the thread that reads the connection. The context's token ends waiting
// for readers.
class PhysicalReceiver final : public BaseBackupReceiver, private TarReceiver {
 public:
  PhysicalReceiver(const Context& context, TreeSink& sink, ReceiverOptions options);
  ~PhysicalReceiver() override;

  void started(const BaseBackupStart& start) override;
  void archive(uint32_t tablespace_oid) override;
  void data(ByteView bytes) override;
  void archive_end() override;
  void manifest(ByteView bytes) override;

  // Ends the tree: the manifest becomes its last file, all directories are closed.
  void finish();
  // The backup broke off: ends waiting for the file that was arriving.
  void fail();
  // Compares what came with the manifest and looks for the WAL up to `stop`. Throws
  // Error{kDamaged}: there is no backup.
  void verify(uint64_t system_identifier, SegmentSize segment_size,
              const BaseBackupStop& stop) const;

  [[nodiscard]] const BaseBackupStart& start() const { return start_; }
  [[nodiscard]] const std::optional<ControlFile>& control() const { return control_; }

 private:
  struct Received {
    uint64_t size = 0;
    uint32_t crc = 0;
  };

  void entry(const TarEntry& entry) override;
  void content(ByteView bytes) override;
  void file_end() override;

  [[nodiscard]] TreeSink::Directory* directory(const std::string& path, const TarEntry& like);
  void begin_file(const std::string& path, const TarEntry& entry);
  [[nodiscard]] bool is_unchanged() const;
  void end_label();
  [[nodiscard]] std::shared_ptr<FileOpener> in_parts(std::shared_ptr<FileOpener> file) const;
  [[nodiscard]] std::shared_ptr<FileOpener> rebuilt(std::shared_ptr<FileOpener> file) const;
  void check_pages(ByteView bytes);
  void check_page(ByteView page);
  void keep_small(const std::string& path, ByteView content);
  void verify_files() const;
  void verify_wal(uint64_t system_identifier, SegmentSize segment_size,
                  const BaseBackupStop& stop) const;

  const Context context_;
  TreeSink& sink_;
  const ReceiverOptions options_;
  uint64_t cell_ = 0;  // of relation files (page_parts.h)
  BaseBackupStart start_;
  std::string prefix_;  // of the paths of this archive: "" or "pg_tblspc/16400/"
  std::optional<TarParser> parser_;
  // Ordered by path, so that they can be closed from the leaves up.
  std::map<std::string, TreeSink::Directory*> directories_;
  std::unordered_map<std::string, Received> received_;
  std::optional<TarEntry> last_directory_;  // owner and mode for what must be made up
  Buffer manifest_;

  // The file that is arriving.
  std::string path_;
  Node node_;
  TreeSink::Directory* parent_ = nullptr;
  MemoryBudget::Lease lease_;
  Buffer small_;
  const std::shared_ptr<BufferPool> pieces_ = StreamedFile::make_pool();  // of large files
  std::shared_ptr<StreamedFile> large_;
  bool keep_content_ = false;
  uint64_t size_ = 0;
  Crc32c crc_;
  std::optional<RelationFile> relation_;
  const EarlierFile* base_ = nullptr;  // it is incremental, and this is what it is based on
  std::string whole_path_;             // the rebuilt file's
  uint32_t block_ = 0;
  Buffer partial_page_;

  std::optional<ControlFile> control_;
  std::map<std::string, Buffer> wal_heads_;  // segment -> its first bytes
};

}  // namespace salvor::postgres
