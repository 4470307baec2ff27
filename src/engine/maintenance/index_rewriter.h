// Replaces index files by others that list less (or more), new before old.
//
// Writing and removing are apart, so that the caller can look again (its lock, the repository)
// between the two: new files beside the old ones are only duplicates, whatever happens then.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/context.h"
#include "model/blob.h"
#include "storage/storage.h"

namespace salvor {

class Repository;

struct ListedPack {
  PackId id;
  std::vector<PackedBlob> blobs;
};

// Collects packs and stores an index file whenever one is full. Not thread-safe.
class IndexWriter {
 public:
  // `confirm_lock`: called before each file is stored, as that of WriteOptions.
  IndexWriter(const Context& context, const Repository& repository,
              std::function<void(const Context&)> confirm_lock = {});
  ~IndexWriter();
  void add(const PackId& pack, std::span<const PackedBlob> blobs);
  void add_marked(const MarkedPack& pack);
  // Stores what is left; durable on return. Returns every file written.
  [[nodiscard]] std::vector<IndexId> finish();

 private:
  void store();
  struct State;
  std::unique_ptr<State> state_;
};

struct IndexRewriteOptions {
  std::span<const ListedPack> extra = {};  // packs to add
  bool rewrite_all = false;                // also files that list nothing that is dropped
  // The packs that are marked for deletion from now on; all marks of before go. Without it those of
  // rewritten files are carried over.
  const std::vector<MarkedPack>* marked = nullptr;
  std::function<void(const Context&)> confirm_lock = {};  // IndexWriter's
};

// Writes index files for everything that `files` list except packs for which `drop` says so; files
// that list no such pack stay as they are (many small ones are merged, though). Returns the files
// that have become superfluous: remove them once the caller is sure. Files that cannot be read
// throw Error{kDamaged}. `drop` is called by several threads.
[[nodiscard]] std::vector<IndexId> rewrite_index(const Context& context,
                                                 const Repository& repository,
                                                 std::span<const IndexId> files,
                                                 const std::function<bool(const PackId&)>& drop,
                                                 const IndexRewriteOptions& options = {});

// The index files that are stored now, ascending.
[[nodiscard]] std::vector<IndexId> list_index_files(const Context& context,
                                                    const Repository& repository);

// Equal for equal lists of blobs, in whatever order; for comparing what index files say of a pack.
[[nodiscard]] uint64_t blob_list_mark(std::span<const PackedBlob> blobs);

}  // namespace salvor
