#include "connector/postgres/backup_results.h"

#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/streamed_file.h"

namespace salvor::postgres {

void BackupResults::add_damage(const std::string& path, const RelationFile& relation,
                               uint32_t block) {
  const std::scoped_lock lock(mutex_);
  DamagedPages& pages = damaged_[path];
  if (pages.count == 0) {
    pages.path = path;
    pages.relation = relation;
    pages.relation.fork = {};
  }
  ++pages.count;
  if (pages.blocks.size() < DamagedPages::kMostBlocks) {
    pages.blocks.push_back(block);
  }
}

std::vector<DamagedPages> BackupResults::damaged() const {
  const std::scoped_lock lock(mutex_);
  std::vector<DamagedPages> all;
  for (const auto& [path, pages] : damaged_) {
    all.push_back(pages);
  }
  return all;
}

void BackupResults::expect(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  if (!files_.emplace(path, RebuiltFile{}).second) {
    throw Error(ErrorCode::kDamaged, "the server sent the file " + path + " twice");
  }
  ++expected_;
}

void BackupResults::set(const std::string& path, const RebuiltFile& file) {
  const std::scoped_lock lock(mutex_);
  files_.at(path) = file;
  --expected_;
  changed_.notify_all();
}

void BackupResults::fail(std::exception_ptr error) {
  const std::scoped_lock lock(mutex_);
  if (failure_ == nullptr) {
    failure_ = std::move(error);
  }
  changed_.notify_all();
}

std::map<std::string, RebuiltFile> BackupResults::wait(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return expected_ == 0 || failure_ != nullptr; })) {
    throw cancelled();
  }
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  return files_;
}

std::unique_ptr<ByteReader> RewrittenManifest::open(const Node& node) {
  const std::scoped_lock lock(mutex_);
  if (text_.empty()) {
    BackupManifest manifest = parse_backup_manifest(original_.view());
    const std::map<std::string, RebuiltFile> files = results_->wait(stop_);
    for (ManifestFile& file : manifest.files) {
      const std::string path = whole_path(file.path).value_or(file.path);
      const auto found = files.find(path);
      if (found == files.end()) {
        continue;
      }
      file.path = path;
      file.size = found->second.size;
      file.algorithm = "CRC32C";
      file.checksum.assign(reinterpret_cast<const char*>(&found->second.crc), sizeof(uint32_t));
    }
    text_ = format_backup_manifest(manifest);
  }
  static_cast<void>(node);
  return read_memory(as_bytes(text_));
}

std::string RewrittenManifest::path_of(const Node& node) const {
  return "/" + node.name;
}

std::optional<std::string> whole_path(const std::string& path) {
  const size_t name = path.rfind('/') + 1;  // 0 when there is no '/'
  if (path.compare(name, kIncrementalPrefix.size(), kIncrementalPrefix) != 0) {
    return std::nullopt;
  }
  return path.substr(0, name) + path.substr(name + kIncrementalPrefix.size());
}

}  // namespace salvor::postgres
