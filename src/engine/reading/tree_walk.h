// Goes through a snapshot's tree in the order in which people read it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "repo/repository.h"

namespace salvor {

enum class Descend : uint8_t { kYes, kNo };

// Where a node is.
struct NodePlace {
  const std::string& path;  // begins with '/' and holds raw bytes: hostile snapshots name nodes
                            // as they please
  size_t depth;             // directories between it and the root: 0 for what is in the root
  const BlobId& tree;       // that holds it
};

// Called for each node, a directory before what is in it, names in stored order. For what is not a
// directory the answer does not count.
using NodeVisitor = std::function<Descend(const NodePlace& place, const Node& node)>;

// Blobs must be readable (index loaded). `prefix` is the path of the root: "" for a whole snapshot.
// Throws Error when a tree cannot be read or its path is too long (tree_descent.h), or, with
// `on_unreadable`, tells that and goes on without it. Throws Error{kDamaged} when the snapshot has
// more paths than any honest one. Memory is bounded whatever the trees hold.
void walk_tree(
    const Context& context, BlobReader& reader, const BlobId& root, const std::string& prefix,
    const NodeVisitor& visit,
    const std::function<void(const std::string& path, const Error&)>& on_unreadable = {});

// The node at `path` below `root`; nothing when there is none. "/" has no node.
[[nodiscard]] std::optional<Node> find_node(const Context& context, BlobReader& reader,
                                            const BlobId& root, std::string_view path);

}  // namespace salvor
