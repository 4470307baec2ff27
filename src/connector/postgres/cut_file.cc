#include "connector/postgres/cut_file.h"

#include "connector/postgres/page_parts.h"

namespace salvor::postgres {
namespace {

class CutFile final : public FileOpener {
 public:
  CutFile(std::shared_ptr<FileOpener> file, CuttingRules rules,
          std::vector<PartReader::Part> earlier)
      : file_(std::move(file)), rules_(rules), earlier_(std::move(earlier)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override { return file_->open(node); }
  [[nodiscard]] bool in_parts() const override { return true; }
  std::unique_ptr<PartReader> open_parts(const Node& node) override {
    return std::make_unique<WholeFileParts>(file_->open(node), rules_, earlier_);
  }
  [[nodiscard]] std::string path_of(const Node& node) const override {
    return file_->path_of(node);
  }

 private:
  const std::shared_ptr<FileOpener> file_;
  const CuttingRules rules_;
  const std::vector<PartReader::Part> earlier_;
};

}  // namespace

std::shared_ptr<FileOpener> cut_relation(std::shared_ptr<FileOpener> file, const std::string& path,
                                         uint64_t size, uint64_t cell,
                                         const EarlierBackup* earlier) {
  if (!parse_relation_path(path)) {
    return file;
  }
  CuttingRules rules{.cell = cell};
  std::vector<PartReader::Part> parts;
  if (earlier != nullptr) {
    rules.changed_since = earlier->facts.start;
    rules.hot_since = earlier->hot_since;
    if (const Node* node = earlier->files->find(path)) {
      parts = earlier->files->parts(*node);
      if (!page_aligned(parts)) {
        parts.clear();
      }
    }
  }
  if (size <= cell && parts.size() < 2) {
    return file;
  }
  return std::make_shared<CutFile>(std::move(file), rules, std::move(parts));
}

}  // namespace salvor::postgres
