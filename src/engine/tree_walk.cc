#include "engine/tree_walk.h"

namespace salvor {
namespace {

// Deep enough for any path that an operating system lets exist, and a limit for made-up ones.
constexpr size_t kDeepest = 20000;

struct Level {
  Tree tree;
  size_t next = 0;
  std::string path;
};

}  // namespace

void walk_tree(const Context& context, BlobReader& reader, const BlobId& root,
               const std::string& prefix, const NodeVisitor& visit,
               const std::function<void(const std::string&, const Error&)>& on_unreadable) {
  std::vector<Level> levels;
  const auto enter = [&](const BlobId& id, std::string path) {
    if (levels.size() == kDeepest) {
      throw Error(ErrorCode::kDamaged, "directories are nested more than 20000 deep");
    }
    try {
      levels.push_back({reader.load_tree(context, id), 0, path});
    } catch (const Error& error) {
      if (!on_unreadable || error.code() == ErrorCode::kCancelled) {
        throw;
      }
      on_unreadable(path, error);
    }
  };
  enter(root, prefix);
  while (!levels.empty()) {
    context.check_stopped();
    Level& level = levels.back();
    if (level.next == level.tree.nodes.size()) {
      levels.pop_back();
      continue;
    }
    const Node& node = level.tree.nodes[level.next++];
    std::string path = level.path + "/" + node.name;
    const bool down = visit(path, node) == Descend::kYes;
    if (down && node.type == NodeType::kDir && node.subtree) {
      enter(BlobId(*node.subtree), std::move(path));  // a copy: `level` may move
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
