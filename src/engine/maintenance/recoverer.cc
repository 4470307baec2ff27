#include "engine/maintenance/recoverer.h"

#include <algorithm>
#include <mutex>
#include <unordered_set>

#include "codec/tree_codec.h"
#include "crypto/sha256.h"
#include "engine/maintenance/used_blobs.h"
#include "repo/repository.h"

namespace salvor {
namespace {

using IdSet = std::unordered_set<BlobId, IdHash>;

std::vector<BlobId> all_trees(const Index& index) {
  std::vector<BlobId> trees;
  index.for_each([&](const PackId&, const PackedBlob& blob) {
    if (blob.handle.type == BlobType::kTree) {
      trees.push_back(blob.handle.id);
    }
  });
  std::sort(trees.begin(), trees.end());
  trees.erase(std::unique(trees.begin(), trees.end()), trees.end());
  return trees;
}

// Trees that are in a directory or are a snapshot's root.
IdSet held_trees(const Context& context, Repository& repository, std::span<const BlobId> trees,
                 unsigned threads, std::vector<BlobId>& unreadable) {
  std::mutex mutex;  // the handlers run at the same time
  IdSet held;
  TreeWalkHandlers handlers;
  handlers.on_tree = [&](const BlobId&, const Tree& tree) {
    const std::scoped_lock lock(mutex);
    for (const Node& node : tree.nodes) {
      if (node.subtree) {
        held.insert(*node.subtree);
      }
    }
  };
  handlers.on_unreadable = [&](const BlobId& tree, const Error&) {
    const std::scoped_lock lock(mutex);
    unreadable.push_back(tree);
  };
  handlers.on_missing = [](const BlobId&, const Node&, const BlobHandle&) {};  // `check` tells them
  EntrySet marked(repository.index().entry_count());
  mark_used_blobs(context, repository, trees, threads, handlers, marked);
  // Of a snapshot that cannot be read the root is nobody's, and so is recovered.
  std::vector<UnreadableObject> damaged;
  for (const StoredSnapshot& stored : repository.load_snapshots(context, &damaged)) {
    held.insert(stored.snapshot.tree);
  }
  return held;
}

Tree tree_of(std::span<const BlobId> roots, const Timestamp& now) {
  Tree tree;
  for (const BlobId& root : roots) {
    Node node;
    // Two that begin alike get their whole ids.
    const auto alike = [&](const BlobId& other) { return other.short_hex() == root.short_hex(); };
    const bool unique = std::count_if(roots.begin(), roots.end(), alike) == 1;
    node.name = unique ? root.short_hex() : root.hex();
    node.type = NodeType::kDir;
    node.mode = go_mode::kDir | 0755U;
    node.mtime = node.atime = node.ctime = now;
    node.subtree = root;
    tree.nodes.push_back(std::move(node));
  }
  std::sort(tree.nodes.begin(), tree.nodes.end(),
            [](const Node& left, const Node& right) { return left.name < right.name; });
  return tree;
}

}  // namespace

RecoverResult recover(const Context& context, Repository& repository,
                      const RecoverOptions& options) {
  RecoverResult result;
  result.index = repair_index(context, repository, false, options.repair);
  repository.load_index(context);
  const std::vector<BlobId> trees = all_trees(repository.index());
  const IdSet held =
      held_trees(context, repository, trees, options.repair.threads, result.unreadable);
  const std::unordered_set<BlobId, IdHash> unreadable(result.unreadable.begin(),
                                                      result.unreadable.end());
  std::copy_if(trees.begin(), trees.end(), std::back_inserter(result.roots),
               [&](const BlobId& id) { return !held.contains(id) && !unreadable.contains(id); });
  if (result.roots.empty()) {
    return result;
  }
  Snapshot snapshot = options.snapshot;
  snapshot.paths = {"/recover"};
  snapshot.tags = {"recovered"};
  const std::string json = encode_tree(tree_of(result.roots, snapshot.time));
  snapshot.tree = BlobId(sha256(as_bytes(json)));
  WriteSession session(context, repository, options.repair.write);
  const std::unique_ptr<BlobWriter> writer = session.make_writer();
  writer->add(BlobType::kTree, snapshot.tree, as_bytes(json));
  writer->flush();
  result.snapshot = session.commit(context, snapshot);
  session.confirm_stored(context, *result.snapshot);
  return result;
}

}  // namespace salvor
