#include "engine/reading/tree_walk.h"

#include "engine/reading/tree_descent.h"

namespace salvor {

void walk_tree(const Context& context, BlobReader& reader, const BlobId& root,
               const std::string& prefix, const NodeVisitor& visit,
               const std::function<void(const std::string&, const Error&)>& on_unreadable) {
  TreeDescent descent(context, reader, prefix);
  const auto enter = [&](const BlobId& id, const std::string& name) {
    try {
      descent.enter(id, name, reader.load_tree(context, id));
    } catch (const Error& error) {
      if (!on_unreadable || error.code() == ErrorCode::kCancelled) {
        throw;
      }
      on_unreadable(descent.done() ? prefix : descent.path() + "/" + name, error);
    }
    descent.check_paths();
  };
  enter(root, {});
  std::string path;
  while (!descent.done()) {
    context.check_stopped();
    const Node* const node = descent.next();
    if (node == nullptr) {
      descent.leave();
      continue;
    }
    path.assign(descent.path()).append("/").append(node->name);
    const NodePlace place{path, descent.depth() - 1, descent.id()};
    const bool down = visit(place, *node) == Descend::kYes;
    if (down && node->type == NodeType::kDir && node->subtree) {
      const std::string name = node->name;  // copies: the node may be dropped
      enter(BlobId(*node->subtree), name);
    }
  }
}

std::optional<Node> find_node(const Context& context, BlobReader& reader, const BlobId& root,
                              std::string_view path) {
  BlobId tree = root;
  std::optional<Node> found;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) {
      continue;
    }
    if (found && (found->type != NodeType::kDir || !found->subtree)) {
      return std::nullopt;
    }
    if (found) {
      tree = *found->subtree;
    }
    found.reset();
    for (Node& node : reader.load_tree(context, tree).nodes) {
      if (node.name == name) {
        found = std::move(node);
        break;
      }
    }
    if (!found) {
      return std::nullopt;
    }
  }
  return found;
}

}  // namespace salvor
