// Finds where stored objects are used: blobs in files, trees at directories, whatever is in a pack.
// Answers "what do I lose with this pack?" and "which file is this blob of?".
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/snapshot.h"
#include "repo/repository.h"

namespace salvor {

struct ObjectUse {
  BlobHandle object;
  std::string path;              // of the file that holds the blob, or of the directory
  std::optional<BlobId> parent;  // a data blob's: the tree in which the file is listed
};

// Not thread-safe. The repository's index must be loaded.
class ObjectSearch {
 public:
  // `ids` are whole, or the first digits of one (at least kShortestPrefix): throws Error{kUsage}
  // otherwise.
  static constexpr size_t kShortestPrefix = 8;

  explicit ObjectSearch(const Repository& repository) : repository_(repository) {}

  void add_blobs(BlobType type, const std::vector<std::string>& ids);
  // Everything in these packs, by their own headers, or by the index where a pack is gone or
  // damaged: those packs are returned. Throws Error{kNotFound} naming the packs that nothing knows.
  std::vector<PackId> add_packs(const Context& context, const std::vector<std::string>& ids);

  // Each use in a snapshot, in the order of the tree.
  void run(const Context& context, BlobReader& reader, const Snapshot& snapshot,
           const std::function<void(const ObjectUse&)>& on_use,
           const std::function<void(const std::string& path, const Error&)>& on_unreadable);

  // What is searched for, and is in the index: asked for by whole id or seen by `run`.
  [[nodiscard]] const std::set<BlobHandle>& objects() const { return wanted_; }

 private:
  [[nodiscard]] bool wants(const BlobHandle& handle);

  const Repository& repository_;
  std::set<BlobHandle> wanted_;
  std::vector<std::pair<BlobType, std::string>> prefixes_;
};

}  // namespace salvor
