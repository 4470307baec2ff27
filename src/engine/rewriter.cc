#include "engine/rewriter.h"

#include <algorithm>
#include <unordered_map>

#include "base/format.h"
#include "codec/tree_codec.h"
#include "crypto/sha256.h"
#include "engine/tree_prefetch.h"
#include "repo/repository.h"

namespace salvor {
namespace {

// Go's zero time, 0001-01-01T00:00:00Z: what restic stores for "not known".
constexpr int64_t kGoZeroSeconds = -62135596800;
// Far deeper than any file system; bounds the recursion on a hostile repository.
constexpr size_t kLargestDepth = 8192;

struct RewrittenTree {
  std::optional<BlobId> id;  // nothing: nothing of it stays
  uint64_t files = 0;
  uint64_t bytes = 0;
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
        trees_(context, repository, options.threads) {}

  // `location`: of the directory, "" for the root.
  RewrittenTree rewrite(const BlobId& id, const std::string& location, size_t depth);

 private:
  // The places of the nodes that stay, before their own subtrees are known.
  [[nodiscard]] std::vector<size_t> choose(const Tree& tree, const std::string& location) const;
  void check_encoding(const Tree& tree, const BlobId& id, const std::string& location) const;
  [[nodiscard]] BlobId store(const Tree& tree);

  const Context& context_;
  BlobWriter* writer_;
  const RewriteOptions& options_;
  const bool includes_;
  TreePrefetch trees_;
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

std::vector<size_t> TreeRewriter::choose(const Tree& tree, const std::string& location) const {
  std::vector<size_t> stay;
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    const Node& node = tree.nodes[i];
    const bool is_directory = node.type == NodeType::kDir;
    const std::string path = location + "/" + node.name;
    const RestoreSelection::Answer answer = options_.selection.empty()
                                                ? RestoreSelection::Answer{}
                                                : options_.selection.ask(path, is_directory);
    if (answer.selected || (includes_ && is_directory && answer.descend)) {
      stay.push_back(i);
    } else if (options_.on_removed) {
      options_.on_removed(path);
    }
  }
  return stay;
}

BlobId TreeRewriter::store(const Tree& tree) {
  const std::string json = encode_tree(tree);
  const BlobId id(sha256(as_bytes(json)));
  if (writer_ != nullptr) {
    writer_->add(BlobType::kTree, id, as_bytes(json));
  }
  return id;
}

RewrittenTree TreeRewriter::rewrite(const BlobId& id, const std::string& location, size_t depth) {
  context_.check_stopped();
  if (depth > kLargestDepth) {
    throw Error(ErrorCode::kFailed, "directories are nested too deeply");
  }
  if (const auto known = known_.find(id); known != known_.end()) {
    return known->second;
  }
  Tree tree = trees_.take(id);
  check_encoding(tree, id, location);
  const std::vector<size_t> stay = choose(tree, location);
  std::vector<BlobId> below;
  for (const size_t i : stay) {
    if (tree.nodes[i].type == NodeType::kDir && tree.nodes[i].subtree &&
        !known_.contains(*tree.nodes[i].subtree)) {
      below.push_back(*tree.nodes[i].subtree);
    }
  }
  trees_.expect(below);

  RewrittenTree result;
  Tree changed;
  bool same = stay.size() == tree.nodes.size();
  for (const size_t i : stay) {
    Node& node = tree.nodes[i];
    if (node.type == NodeType::kFile) {
      ++result.files;
      result.bytes += node.size;
    } else if (node.type == NodeType::kDir) {
      const RewrittenTree subtree =
          rewrite(node.subtree.value_or(BlobId()), location + "/" + node.name, depth + 1);
      result.files += subtree.files;
      result.bytes += subtree.bytes;
      same = same && subtree.id == node.subtree;
      if (!subtree.id) {
        continue;
      }
      node.subtree = subtree.id;
    }
    changed.nodes.push_back(std::move(node));
  }
  // Includes keep an empty directory only when it was named itself.
  if (!changed.nodes.empty() || !includes_ ||
      options_.selection.ask(location.empty() ? "/" : location, true).selected) {
    result.id = same ? id : store(changed);
  }
  if (options_.selection.empty()) {
    known_.emplace(id, result);
  }
  return result;
}

RewrittenTree rewrite_trees(const Context& context, Repository& repository, const BlobId& root,
                            const RewriteOptions& options) {
  if (options.selection.empty()) {
    return TreeRewriter(context, repository, nullptr, options).rewrite(root, "", 0);
  }
  WriteOptions write = options.write;
  write.dry_run = options.dry_run;
  WriteSession session(context, repository, write);
  RewrittenTree result;
  {
    const std::unique_ptr<BlobWriter> writer = session.make_writer();
    result = TreeRewriter(context, repository, writer.get(), options).rewrite(root, "", 0);
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
