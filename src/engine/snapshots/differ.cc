#include "engine/snapshots/differ.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "engine/reading/tree_descent.h"
#include "engine/reading/tree_walk.h"

namespace salvor {
namespace {

using BlobSet = std::unordered_set<BlobHandle, BlobHandleHash>;

class Differ {
 public:
  Differ(const Context& context, const Repository& repository, bool show_metadata,
         const DiffVisitor& on_change)
      : context_(context),
        repository_(repository),
        reader_(repository),
        show_metadata_(show_metadata),
        on_change_(on_change) {}

  DiffStatistics run(const BlobId& before, const BlobId& after) {
    before_.insert({BlobType::kTree, before});
    after_.insert({BlobType::kTree, after});
    compare(before, after);
    count_blobs(before_, after_, statistics_.removed);
    count_blobs(after_, before_, statistics_.added);
    return statistics_;
  }

 private:
  static void add_blobs(BlobSet& set, const Node& node) {
    if (node.type == NodeType::kFile) {
      for (const BlobId& id : node.content) {
        set.insert({BlobType::kData, id});
      }
    } else if (node.type == NodeType::kDir && node.subtree) {
      set.insert({BlobType::kTree, *node.subtree});
    }
  }

  static void count_node(DiffCounts& counts, const Node& node) {
    ++(node.type == NodeType::kFile  ? counts.files
       : node.type == NodeType::kDir ? counts.dirs
                                     : counts.others);
  }

  [[nodiscard]] static std::string shown(const std::string& path, const Node& node) {
    return node.type == NodeType::kDir ? path + "/" : path;
  }

  // Everything below and including a node that only one side has.
  void one_sided(const std::string& path, const Node& node, const char* modifier,
                 DiffCounts& counts, BlobSet& blobs) {
    const auto tell = [&](const std::string& at, const Node& each) {
      on_change_(shown(at, each), modifier);
      count_node(counts, each);
      add_blobs(blobs, each);
    };
    tell(path, node);
    if (node.type == NodeType::kDir && node.subtree) {
      walk_tree(context_, reader_, *node.subtree, path,
                [&](const NodePlace& place, const Node& each) {
                  tell(place.path, each);
                  return Descend::kYes;
                });
    }
  }

  // What is below a directory that has not changed; each tree once.
  void add_common(const BlobId& tree) {
    if (!common_trees_.insert(tree).second) {
      return;
    }
    walk_tree(context_, reader_, tree, "", [&](const NodePlace&, const Node& node) {
      add_blobs(common_, node);
      return node.subtree && common_trees_.insert(*node.subtree).second ? Descend::kYes
                                                                        : Descend::kNo;
    });
  }

  [[nodiscard]] std::string modifier_of(const Node& before, const Node& after) {
    std::string modifier;
    if (before.type != after.type) {
      modifier += "T";
    }
    if (before.type == NodeType::kFile && after.type == NodeType::kFile &&
        before.content != after.content) {
      ++statistics_.changed_files;
      modifier += same_metadata(before, after) ? "M?" : "M";
    } else if (show_metadata_ && !(before == after)) {
      modifier += "U";
    }
    return modifier;
  }

  // Whether the two are directories that have to be compared.
  [[nodiscard]] bool both_sided(const std::string& path, const Node& before, const Node& after) {
    add_blobs(before_, before);
    add_blobs(after_, after);
    const std::string modifier = modifier_of(before, after);
    if (!modifier.empty()) {
      on_change_(shown(path, after), modifier);
    }
    if (before.type != NodeType::kDir || after.type != NodeType::kDir || !before.subtree ||
        !after.subtree) {
      return false;
    }
    if (*before.subtree == *after.subtree) {
      add_common(*after.subtree);
      return false;
    }
    return true;
  }

  void enter(TreeDescent& side, const BlobId& tree, const std::string& name) {
    side.enter(tree, name, reader_.load_tree(context_, tree));
    side.check_paths();
  }

  // Goes down both sides in step.
  void compare(const BlobId& before_id, const BlobId& after_id) {
    TreeDescent before(context_, reader_);
    TreeDescent after(context_, reader_);
    enter(before, before_id, {});
    enter(after, after_id, {});
    while (!before.done()) {
      context_.check_stopped();
      const Node* left = before.peek();
      const Node* right = after.peek();
      if (left == nullptr && right == nullptr) {
        before.leave();
        after.leave();
      } else if (right == nullptr || (left != nullptr && left->name < right->name)) {
        one_sided(before.path() + "/" + left->name, *left, "-", statistics_.removed, before_);
        static_cast<void>(before.next());
      } else if (left == nullptr || right->name < left->name) {
        one_sided(after.path() + "/" + right->name, *right, "+", statistics_.added, after_);
        static_cast<void>(after.next());
      } else {
        left = before.next();
        right = after.next();
        const std::string name = left->name;  // copies: entering may drop the nodes
        if (both_sided(before.path() + "/" + name, *left, *right)) {
          const BlobId left_tree = *left->subtree;
          const BlobId right_tree = *right->subtree;
          enter(before, left_tree, name);
          enter(after, right_tree, name);
        }
      }
    }
  }

  // Blobs of `mine` that neither the other side nor an unchanged directory has.
  void count_blobs(const BlobSet& mine, const BlobSet& other, DiffCounts& counts) const {
    for (const BlobHandle& handle : mine) {
      if (other.contains(handle) || common_.contains(handle)) {
        continue;
      }
      ++(handle.type == BlobType::kData ? counts.data_blobs : counts.tree_blobs);
      counts.bytes += repository_.index().content_length(handle).value_or(0);
    }
  }

  const Context& context_;
  const Repository& repository_;
  BlobReader reader_;
  const bool show_metadata_;
  const DiffVisitor& on_change_;
  DiffStatistics statistics_;
  BlobSet before_;
  BlobSet after_;
  BlobSet common_;
  std::unordered_set<BlobId, IdHash> common_trees_;
};

}  // namespace

DiffStatistics diff_trees(const Context& context, const Repository& repository,
                          const BlobId& before, const BlobId& after, bool show_metadata,
                          const DiffVisitor& on_change) {
  return Differ(context, repository, show_metadata, on_change).run(before, after);
}

}  // namespace salvor
