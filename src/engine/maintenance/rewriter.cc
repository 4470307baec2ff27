#include "engine/maintenance/rewriter.h"

#include <algorithm>
#include <unordered_map>

#include "base/format.h"
#include "codec/tree_codec.h"
#include "crypto/sha256.h"
#include "engine/reading/tree_descent.h"
#include "engine/reading/tree_prefetch.h"
#include "repo/repository.h"

namespace salvor {
namespace {

// Go's zero time, 0001-01-01T00:00:00Z: what restic stores for "not known".
constexpr int64_t kGoZeroSeconds = -62135596800;
struct RewrittenTree {
  std::optional<BlobId> id;  // nothing: nothing of it stays
  uint64_t files = 0;
  uint64_t bytes = 0;

  // A tree made up to repeat itself may hold more than can be counted.
  void add(uint64_t more_files, uint64_t more_bytes) {
    files = files > UINT64_MAX - more_files ? UINT64_MAX : files + more_files;
    bytes = bytes > UINT64_MAX - more_bytes ? UINT64_MAX : bytes + more_bytes;
  }
};

class TreeRewriter {
 public:
  TreeRewriter(const Context& context, const Repository& repository, BlobWriter* writer,
               const RewriteOptions& options)
      : context_(context),
        writer_(writer),
        options_(options),
        includes_(!options.selection.includes.empty() ||
                  !options.selection.insensitive_includes.empty()),
        trees_(context, repository, options.threads),
        reader_(repository),
        descent_(context, reader_) {}

  RewrittenTree rewrite(const BlobId& root);

 private:
  // A directory on the way down; its tree is in `descent_`.
  struct Level {
    std::vector<bool> stays;                                         // for each node
    size_t next = 0;                                                 // node
    std::vector<std::pair<size_t, std::optional<BlobId>>> replaced;  // subtrees, in order of nodes
    RewrittenTree sum;
  };

  void enter(const BlobId& id, const std::string& name);
  // Goes on to the next directory to enter. False when there is none left at this level.
  bool go_on();
  // What became of the last node that was looked at.
  void take(const BlobId& before, const RewrittenTree& subtree);
  [[nodiscard]] RewrittenTree leave();
  // Which nodes stay, before their own subtrees are known. `location`: "" for the root.
  [[nodiscard]] std::vector<bool> choose(const Tree& tree, const std::string& location) const;
  void check_encoding(const Tree& tree, const BlobId& id, const std::string& location) const;
  [[nodiscard]] BlobId store(const Tree& tree);

  const Context& context_;
  BlobWriter* writer_;
  const RewriteOptions& options_;
  const bool includes_;
  TreePrefetch trees_;
  BlobReader reader_;  // for what has to be read again
  TreeDescent descent_;
  std::vector<Level> levels_;
  // Only when nothing depends on where a tree is.
  std::unordered_map<BlobId, RewrittenTree, IdHash> known_;
};

void TreeRewriter::check_encoding(const Tree& tree, const BlobId& id,
                                  const std::string& location) const {
  bool same = false;
  try {
    same = BlobId(sha256(as_bytes(encode_tree(tree)))) == id;
  } catch (const Error&) {
    same = false;  // names out of order, and the like
  }
  if (!same) {
    throw Error(ErrorCode::kFailed,
                "cannot encode tree at \"" + printable(location.empty() ? "/" : location) +
                    "\" without losing information",
                "Another program or a newer version has stored fields that are not known here. "
                "Rewrite the snapshot with that program.");
  }
}

std::vector<bool> TreeRewriter::choose(const Tree& tree, const std::string& location) const {
  std::vector<bool> stays(tree.nodes.size(), true);
  if (options_.selection.empty()) {
    return stays;
  }
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    const Node& node = tree.nodes[i];
    const bool is_directory = node.type == NodeType::kDir;
    const std::string path = location + "/" + node.name;
    const RestoreSelection::Answer answer = options_.selection.ask(path, is_directory);
    stays[i] = answer.selected || (includes_ && is_directory && answer.descend);
    if (!stays[i] && options_.on_removed) {
      options_.on_removed(path);
    }
  }
  return stays;
}

BlobId TreeRewriter::store(const Tree& tree) {
  const std::string json = encode_tree(tree);
  const BlobId id(sha256(as_bytes(json)));
  if (writer_ != nullptr) {
    writer_->add(BlobType::kTree, id, as_bytes(json));
  }
  return id;
}

RewrittenTree TreeRewriter::rewrite(const BlobId& root) {
  enter(root, {});
  while (true) {
    context_.check_stopped();
    if (go_on()) {
      continue;
    }
    const BlobId before = descent_.id();
    const RewrittenTree result = leave();
    if (levels_.empty()) {
      return result;
    }
    take(before, result);
  }
}

void TreeRewriter::enter(const BlobId& id, const std::string& name) {
  descent_.enter(id, name, trees_.take(id));
  descent_.check_paths();
  const Tree& tree = descent_.tree();
  check_encoding(tree, id, descent_.path());
  levels_.push_back({.stays = choose(tree, descent_.path())});
  std::vector<BlobId> below;
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    const Node& node = tree.nodes[i];
    if (levels_.back().stays[i] && node.type == NodeType::kDir && node.subtree &&
        !known_.contains(*node.subtree)) {
      below.push_back(*node.subtree);
    }
  }
  trees_.expect(below);
}

bool TreeRewriter::go_on() {
  Level& level = levels_.back();
  for (const Node* node = descent_.next(); node != nullptr; node = descent_.next()) {
    if (!level.stays[level.next++]) {
      continue;
    }
    if (node->type == NodeType::kFile) {
      level.sum.add(1, node->size);
    } else if (node->type == NodeType::kDir) {
      const BlobId subtree = node->subtree.value_or(BlobId());
      const auto known = known_.find(subtree);
      if (known == known_.end()) {
        const std::string name = node->name;  // a copy: the node may be dropped
        enter(subtree, name);
        return true;
      }
      take(subtree, known->second);
    }
  }
  return false;
}

void TreeRewriter::take(const BlobId& before, const RewrittenTree& subtree) {
  Level& level = levels_.back();
  level.sum.add(subtree.files, subtree.bytes);
  if (subtree.id != before) {
    level.replaced.emplace_back(level.next - 1, subtree.id);
  }
}

RewrittenTree TreeRewriter::leave() {
  Level& level = levels_.back();
  const BlobId id = descent_.id();
  const std::string location = descent_.path();
  const auto all_stay = [&] {
    return std::find(level.stays.begin(), level.stays.end(), false) == level.stays.end();
  };
  RewrittenTree result = level.sum;
  const bool same = level.replaced.empty() && all_stay();
  Tree changed;
  if (!same) {
    Tree& tree = descent_.tree();
    auto replaced = level.replaced.begin();
    for (size_t i = 0; i < tree.nodes.size(); ++i) {
      Node& node = tree.nodes[i];
      const bool other = replaced != level.replaced.end() && replaced->first == i;
      if (other) {
        node.subtree = (replaced++)->second;
      }
      if (level.stays[i] && (!other || node.subtree)) {
        changed.nodes.push_back(std::move(node));
      }
    }
  }
  // Includes keep an empty directory only when it was named itself.
  const bool empty = same ? level.stays.empty() : changed.nodes.empty();
  if (!empty || !includes_ ||
      options_.selection.ask(location.empty() ? "/" : location, true).selected) {
    result.id = same ? id : store(changed);
  }
  if (options_.selection.empty()) {
    known_.emplace(id, result);
  }
  descent_.leave();
  levels_.pop_back();
  return result;
}

RewrittenTree rewrite_trees(const Context& context, Repository& repository, const BlobId& root,
                            const RewriteOptions& options) {
  if (options.selection.empty()) {
    return TreeRewriter(context, repository, nullptr, options).rewrite(root);
  }
  WriteOptions write = options.write;
  write.dry_run = options.dry_run;
  WriteSession session(context, repository, write);
  RewrittenTree result;
  {
    const std::unique_ptr<BlobWriter> writer = session.make_writer();
    result = TreeRewriter(context, repository, writer.get(), options).rewrite(root);
    writer->flush();
  }
  session.finish(context);
  return result;
}

}  // namespace

RewriteResult rewrite_snapshot(const Context& context, Repository& repository,
                               const StoredSnapshot& old, const RewriteOptions& options) {
  Snapshot changed = old.snapshot;
  if (!options.selection.empty() || options.snapshot_summary) {
    const RewrittenTree tree = rewrite_trees(context, repository, changed.tree, options);
    if (!tree.id) {
      return {};
    }
    changed.tree = *tree.id;
    if (!changed.summary) {
      changed.summary.emplace();
      changed.summary->backup_start.seconds = kGoZeroSeconds;
      changed.summary->backup_end.seconds = kGoZeroSeconds;
    }
    changed.summary->total_files_processed = tree.files;
    changed.summary->total_bytes_processed = tree.bytes;
  }
  const bool new_metadata = !options.new_host.empty() || options.new_time.has_value();
  if (changed == old.snapshot && !new_metadata) {
    return {};
  }
  if (options.dry_run) {
    return {.changed = true, .new_id = std::nullopt};
  }
  changed.original = old.id;
  if (!options.forget &&
      std::find(changed.tags.begin(), changed.tags.end(), "rewrite") == changed.tags.end()) {
    changed.tags.emplace_back("rewrite");
  }
  if (options.new_time) {
    changed.time = *options.new_time;
  }
  if (!options.new_host.empty()) {
    changed.hostname = options.new_host;
  }
  const auto confirm = [&] {
    context.check_stopped();
    if (options.write.confirm_lock) {
      options.write.confirm_lock(context);
    }
  };
  confirm();
  const SnapshotId id = repository.save_snapshot(context, changed);
  if (options.forget && id != old.id) {
    confirm();
    repository.storage().remove(context, snapshot_object(old.id));
  }
  return {.changed = true, .new_id = id};
}

}  // namespace salvor
