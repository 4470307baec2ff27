// What is learned about a physical backup's files while they are read, on several threads.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "connector/postgres/incremental_file.h"
#include "connector/postgres/page.h"
#include "connector/source.h"

namespace salvor::postgres {

struct DamagedPages {
  static constexpr size_t kMostBlocks = 100;  // of one file that are named

  std::string path;
  RelationFile relation;         // without the fork
  std::vector<uint32_t> blocks;  // counted from the start of the relation; the first kMostBlocks
  uint64_t count = 0;
};

// Thread-safe.
class BackupResults {
 public:
  void add_damage(const std::string& path, const RelationFile& relation, uint32_t block);
  [[nodiscard]] std::vector<DamagedPages> damaged() const;

  // A file whose size and checksum will be known later, and when they are.
  void expect(const std::string& path);
  void set(const std::string& path, const RebuiltFile& file);
  // Something expected will never come.
  void fail(std::exception_ptr error);
  // Waits until everything expected is there. Throws what `fail` was given, Error{kCancelled}.
  [[nodiscard]] std::map<std::string, RebuiltFile> wait(const std::stop_token& stop);

 private:
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, DamagedPages> damaged_;
  std::map<std::string, RebuiltFile> files_;
  size_t expected_ = 0;
  std::exception_ptr failure_;
};

// backup_manifest for files that were rebuilt: made when it is read. By then every other file has
// been begun, so waiting for their checksums ends.
class RewrittenManifest final : public FileOpener {
 public:
  RewrittenManifest(std::shared_ptr<BackupResults> results, Buffer original, std::stop_token stop)
      : results_(std::move(results)), original_(std::move(original)), stop_(std::move(stop)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override;
  [[nodiscard]] std::string path_of(const Node& node) const override;

 private:
  const std::shared_ptr<BackupResults> results_;
  const Buffer original_;
  const std::stop_token stop_;
  std::mutex mutex_;
  std::string text_;
};

// The path of the whole file: "base/5/INCREMENTAL.1259" -> "base/5/1259". Nothing for others.
[[nodiscard]] std::optional<std::string> whole_path(const std::string& path);

}  // namespace salvor::postgres
