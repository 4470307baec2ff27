// The files of an earlier snapshot, for sources that know what has changed since.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/task.h"
#include "connector/source.h"
#include "engine/reading/blobs_ahead.h"
#include "repo/repository.h"

namespace salvor {

// Reads all trees at once; about 32 bytes of memory a blob. The repository's index must be loaded,
// and a lock held, for as long as this lives. Thread-safe.
class EarlierSnapshot final : public EarlierFiles {
 public:
  // Files in directories that cannot be read, and files of which a blob is missing, are not there.
  EarlierSnapshot(const Context& context, const Repository& repository, const BlobId& tree);
  ~EarlierSnapshot() override;

  [[nodiscard]] const Node* find(const std::string& path) const override;
  [[nodiscard]] std::vector<PartReader::Part> parts(const Node& file) const override;
  [[nodiscard]] std::unique_ptr<EarlierBlobs> blobs(const Context& context,
                                                    std::vector<BlobId> order) const override;

 private:
  [[nodiscard]] uint64_t length(const BlobId& blob) const;
  [[nodiscard]] ThreadPool& pool() const;

  const Repository& repository_;
  std::unordered_map<std::string, Node> files_;
  mutable BlobReaders readers_;
  mutable std::mutex mutex_;                  // guards pool_
  mutable std::unique_ptr<ThreadPool> pool_;  // made when the first blob is read
};

}  // namespace salvor
