// Opening and reading the regular files that a walk has found.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "connector/files/directory_handle.h"
#include "connector/files/metadata.h"
#include "connector/source.h"

namespace salvor {

// MetadataReaders for whichever thread needs one: reader threads belong to the engine and are not
// known here. Thread-safe.
class MetadataPool {
 public:
  explicit MetadataPool(bool with_atime) : with_atime_(with_atime) {}

  template <class Use>
  auto with(Use&& use) {
    std::unique_ptr<MetadataReader> reader = take();
    struct Return {
      MetadataPool& pool;
      std::unique_ptr<MetadataReader>& reader;
      ~Return() { pool.put(std::move(reader)); }
    } give_back{*this, reader};
    return use(*reader);
  }

 private:
  std::unique_ptr<MetadataReader> take();
  void put(std::unique_ptr<MetadataReader> reader);

  const bool with_atime_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<MetadataReader>> idle_;
};

// What all openers of one walk share. `sink` hears of attributes that cannot be read; it outlives
// the openers, which it holds.
struct OpenerSurroundings {
  OpenerSurroundings(bool with_atime, bool deferred, TreeSink& to)
      : metadata(with_atime), deferred_attributes(deferred), sink(to) {}
  MetadataPool metadata;
  const bool deferred_attributes;
  TreeSink& sink;
};

// See FileOpener. Files are opened relative to their directory, never through a symbolic link,
// without changing their access time where that is allowed.
class DirectoryFileOpener final : public FileOpener {
 public:
  // `real_name`: the file's name on disk where it differs from the node's (a renamed target); else
  // empty.
  DirectoryFileOpener(std::shared_ptr<DirectoryHandle> directory,
                      std::shared_ptr<OpenerSurroundings> surroundings, std::string real_name = {})
      : directory_(std::move(directory)),
        surroundings_(std::move(surroundings)),
        real_name_(std::move(real_name)) {}

  [[nodiscard]] std::unique_ptr<ByteReader> open(const Node& node) override;
  void complete(Node& node) override;
  [[nodiscard]] std::string path_of(const Node& node) const override;

 private:
  [[nodiscard]] const std::string& name_of(const Node& node) const {
    return real_name_.empty() ? node.name : real_name_;
  }

  const std::shared_ptr<DirectoryHandle> directory_;
  const std::shared_ptr<OpenerSurroundings> surroundings_;
  const std::string real_name_;
};

// openat with O_NOFOLLOW and O_CLOEXEC, and O_NOATIME unless that is not permitted. -1 and errno on
// failure.
[[nodiscard]] UniqueFd open_quietly(int directory, const char* name, int flags);

}  // namespace salvor
