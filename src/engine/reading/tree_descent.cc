#include "engine/reading/tree_descent.h"

#include <algorithm>
#include <unordered_map>

#include "base/format.h"

namespace salvor {
namespace {

constexpr uint64_t kVisitedBeforeCount = uint64_t{16} << 10;
constexpr uint64_t kVisitsPerNode = 16;
constexpr uint64_t kVisitedPerCounted = 4;
constexpr size_t kShownPath = 200;

size_t memory_of(const Tree& tree) {
  size_t bytes = 0;
  for (const Node& node : tree.nodes) {
    bytes += sizeof(Node) + node.name.size() + node.link_target.size() +
             node.generic_attributes.size() + node.content.size() * sizeof(BlobId);
    for (const ExtendedAttribute& attribute : node.extended_attributes) {
      bytes += sizeof attribute + attribute.name.size() + attribute.value.size();
    }
  }
  return bytes;
}

uint64_t add_capped(uint64_t left, uint64_t right) {
  return left > UINT64_MAX - right ? UINT64_MAX : left + right;
}

uint64_t multiply_capped(uint64_t left, uint64_t right) {
  return right != 0 && left > UINT64_MAX / right ? UINT64_MAX : left * right;
}

}  // namespace

TreeDescent::TreeDescent(const Context& context, BlobReader& reader, std::string prefix,
                         DescentLimits limits)
    : context_(context),
      reader_(reader),
      index_(reader.repository().index()),
      limits_(limits),
      path_(std::move(prefix)),
      seen_(index_.entry_count()),
      next_count_(kVisitedBeforeCount) {}

void TreeDescent::enter(const BlobId& id, std::string_view name, Tree tree) {
  const bool is_root = levels_.empty();
  const size_t length = path_.size() + (is_root ? 0 : 1 + name.size());
  if (length > limits_.longest_path) {
    throw Error(ErrorCode::kDamaged,
                "directories are nested so deeply that a path is " + std::to_string(length) +
                    " bytes long (tree " + id.short_hex() + ", in " +
                    printable(path_.substr(0, kShownPath)) + "...)",
                "Paths of up to " + std::to_string(limits_.longest_path) +
                    " bytes are followed; no file system that is in use has longer ones. What is "
                    "above can be had: name a folder as SNAPSHOT:/folder, or exclude this one.");
  }
  Level level{.id = id, .tree = std::move(tree), .path_length = path_.size()};
  level.bytes = memory_of(level.tree);
  held_bytes_ += level.bytes;
  visited_ += level.tree.nodes.size();
  const Index::EntryNumber entry = index_.entry_number({BlobType::kTree, id});
  if (entry < seen_.capacity() && seen_.insert(entry)) {
    distinct_ += level.tree.nodes.size();
  }
  if (is_root) {
    root_ = id;
  } else {
    path_ += '/';
    path_ += name;
  }
  levels_.push_back(std::move(level));
  drop_outer();
}

void TreeDescent::leave() {
  const Level& level = levels_.back();
  path_.resize(level.path_length);
  held_bytes_ -= level.bytes;
  levels_.pop_back();
  first_held_ = std::min(first_held_, levels_.size());
}

// Never the innermost one.
void TreeDescent::drop_outer() {
  while (held_bytes_ > limits_.held_bytes && first_held_ + 1 < levels_.size()) {
    Level& level = levels_[first_held_++];
    held_bytes_ -= level.bytes;
    level.bytes = 0;
    level.tree = {};
    level.dropped = true;
  }
}

void TreeDescent::load_again(Level& level) {
  level.tree = reader_.load_tree(context_, level.id);
  level.dropped = false;
  level.bytes = memory_of(level.tree);
  held_bytes_ += level.bytes;
  first_held_ = std::min(first_held_, levels_.size() - 1);
}

Node* TreeDescent::peek() {
  Level& level = levels_.back();
  if (level.dropped) {
    load_again(level);
  }
  return level.next < level.tree.nodes.size() ? &level.tree.nodes[level.next] : nullptr;
}

Node* TreeDescent::next() {
  Node* const node = peek();
  levels_.back().next += node != nullptr ? 1 : 0;
  return node;
}

std::span<const Node> TreeDescent::rest() const {
  const Level& level = levels_.back();
  return std::span(level.tree.nodes).subspan(std::min(level.next, level.tree.nodes.size()));
}

Tree& TreeDescent::tree() {
  Level& level = levels_.back();
  if (level.dropped) {
    load_again(level);
  }
  return level.tree;
}

void TreeDescent::check_paths() {
  if (visited_ < next_count_ || visited_ / kVisitsPerNode < distinct_) {
    return;
  }
  next_count_ = 2 * visited_;
  if (count_paths(visited_ / kVisitedPerCounted) <= limits_.most_paths) {
    return;
  }
  throw Error(
      ErrorCode::kDamaged,
      "tree " + root_.hex() + " unfolds to more than " + std::to_string(limits_.most_paths) +
          " paths: the same directories are in it again and again",
      "No backup of a file system looks like that: the snapshot was made to keep programs busy. "
      "A folder of it can be had as SNAPSHOT:/folder; `salvor forget SNAPSHOT` removes it.");
}

// At least so many paths are below the root; exact when no more than `most_nodes` had to be read.
uint64_t TreeDescent::count_paths(uint64_t most_nodes) {
  std::unordered_map<Index::EntryNumber, uint64_t> level;  // how often a tree is on it
  level.emplace(index_.entry_number({BlobType::kTree, root_}), 1);
  uint64_t paths = 0;
  uint64_t nodes_read = 0;
  while (!level.empty()) {
    std::unordered_map<Index::EntryNumber, uint64_t> below;
    for (const auto& [entry, times] : level) {
      context_.check_stopped();
      if (nodes_read > most_nodes || paths > limits_.most_paths) {
        return paths;
      }
      Tree tree;
      try {
        tree = reader_.load_tree(context_, index_.entry(entry).blob.handle.id);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
          throw;  // the storage is away, or we are stopped
        }
      }
      nodes_read += tree.nodes.size() + 1;
      paths = add_capped(paths, multiply_capped(times, tree.nodes.size()));
      for (const Node& node : tree.nodes) {
        const Index::EntryNumber child = node.type == NodeType::kDir && node.subtree
                                             ? index_.entry_number({BlobType::kTree, *node.subtree})
                                             : Index::kNoEntry;
        if (child != Index::kNoEntry) {
          uint64_t& total = below[child];
          total = add_capped(total, times);
        }
      }
    }
    level = std::move(below);
  }
  return paths;
}

}  // namespace salvor
