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
#include "connector/postgres/base_backup.h"
#include "connector/postgres/control_file.h"
#include "connector/postgres/page.h"
#include "connector/postgres/streamed_file.h"
#include "connector/postgres/tar_parser.h"
#include "connector/source.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {

struct DamagedPages {
  std::string path;
  RelationFile relation;         // without the fork
  std::vector<uint32_t> blocks;  // counted from the start of the relation; the first kMostBlocks
  uint64_t count = 0;
};

// Not thread-safe: driven by the thread that reads the connection. The context's token ends waiting
// for readers.
class PhysicalReceiver final : public BaseBackupReceiver, private TarReceiver {
 public:
  static constexpr size_t kMostBlocks = 100;  // of one file that are named

  // `budget` limits the small files in memory; they may outlive this object, so it must, too.
  // `estimated_bytes` gets the server's estimate as soon as it is known.
  PhysicalReceiver(const Context& context, TreeSink& sink, bool check_pages, MemoryBudget& budget,
                   std::atomic<uint64_t>& estimated_bytes);
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
  [[nodiscard]] const std::vector<DamagedPages>& damaged() const { return damaged_; }
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
  void check_pages(ByteView bytes);
  void check_page(ByteView page);
  void keep_small(const std::string& path, ByteView content);
  void verify_files() const;
  void verify_wal(uint64_t system_identifier, SegmentSize segment_size,
                  const BaseBackupStop& stop) const;

  const Context context_;
  TreeSink& sink_;
  const bool check_pages_;
  MemoryBudget& budget_;
  std::atomic<uint64_t>& estimated_bytes_;
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
  std::shared_ptr<StreamedFile> large_;
  bool keep_content_ = false;
  uint64_t size_ = 0;
  Crc32c crc_;
  std::optional<RelationFile> relation_;
  uint32_t block_ = 0;
  Buffer partial_page_;

  std::vector<DamagedPages> damaged_;
  std::optional<ControlFile> control_;
  std::map<std::string, Buffer> wal_heads_;  // segment -> its first bytes
};

}  // namespace salvor::postgres
