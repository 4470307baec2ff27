// A repository's snapshots as one read-only file tree: what `mount` shows.
//
//   /ids/<short id>/...            /snapshots/<time>/...      /snapshots/latest -> <time>
//   /hosts/<host>/<time>/...       /tags/<tag>/<time>/...     (each with its own `latest`)
//
// unless other templates are given (snapshot_layout.h).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/reading/blob_readers.h"
#include "engine/snapshots/snapshot_filter.h"
#include "engine/snapshots/snapshot_layout.h"
#include "repo/repository.h"

namespace salvor {

struct SnapshotViewOptions {
  SnapshotFilter filter;
  SnapshotLayoutOptions layout;
  size_t blob_cache_bytes = size_t{64} << 20;
  size_t tree_cache_entries = 256;
  std::chrono::seconds refresh_after{30};  // how old the list of snapshots may be
};

// Thread-safe. The repository is this object's for as long as it lives: nobody else may load its
// index.
class SnapshotView {
 public:
  SnapshotView(const Context& context, Repository& repository, SnapshotViewOptions options);
  ~SnapshotView();

  // The node at an absolute path; made-up directories and links have nodes too. Nothing when there
  // is none. Throws Error when the repository cannot be read.
  [[nodiscard]] std::optional<Node> find(std::string_view path);
  // What is in a directory (nodes with names); nothing when the path is not one.
  [[nodiscard]] std::optional<std::vector<Node>> list(std::string_view path);
  // Up to out.size() bytes of a file's content from `offset`; the hash of every blob is verified.
  // Returns how many.
  [[nodiscard]] size_t read(const Node& file, uint64_t offset, MutableBytes out);
  // The node's size by its content, which is what `read` can deliver.
  [[nodiscard]] uint64_t content_size(const Node& file) const;

 private:
  struct Place {
    const LayoutEntry* entry = nullptr;  // made up, or
    std::optional<Node> node;            // from a tree
    std::optional<BlobId> tree;          // if it is a directory of a snapshot
  };
  using CachedBlob = std::pair<BlobId, std::shared_ptr<const Buffer>>;
  using CachedTree = std::pair<BlobId, std::shared_ptr<const Tree>>;

  void refresh_if_old();
  void build();
  [[nodiscard]] std::optional<Place> resolve(std::string_view path);
  [[nodiscard]] static Node made_up_node(const std::string& name, const LayoutEntry& entry);
  [[nodiscard]] std::shared_ptr<const Tree> tree(const BlobId& id);
  [[nodiscard]] std::shared_ptr<const Buffer> blob(const BlobId& id);

  const Context context_;
  Repository& repository_;
  BlobReaders readers_;
  const SnapshotViewOptions options_;
  // Held while root_ and the index are in use; exclusively to refresh.
  mutable std::shared_mutex list_mutex_;
  LayoutEntry root_;
  std::vector<std::string> known_;  // names of all snapshots that were there, sorted
  MonotonicTime refreshed_;
  std::mutex cache_mutex_;
  std::list<CachedBlob> blobs_;  // the most recently used first
  size_t blob_bytes_ = 0;
  std::list<CachedTree> trees_;
};

}  // namespace salvor
