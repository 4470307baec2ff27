// Going down the trees of a snapshot, path by path, with limits that no honest snapshot meets.
//
// A tree may be the content of many directories, so what is stored is a graph without circles (a
// tree's id is the hash of what it holds), and a few kilobytes of it can have 2^40 paths, or one
// path with a million directories. Whoever visits each tree once does not care (used_blobs.h);
// whoever visits paths must not run without end nor fill the memory. So:
//
// * Paths. A snapshot with more than kMostPaths is refused. A count that reads every tree first
//   would double the work of listing an honest snapshot, so it is made only when trees repeat: once
//   16 Ki nodes were visited of which fewer than one in 16 were new, and again each time that
//   number has doubled. Counting goes level by level with the number of times that a tree occurs
//   on each, and may read as many nodes as a quarter of those visited so far: what repeats is few,
//   so it gets to the end; where it does not, the next count goes further.
// * Length. A path of more than kLongestPath bytes is refused. That bounds the depth too: each
//   directory adds at least a slash.
// * Memory. Nodes of at most kHeldBytes are held besides those of the innermost directory: beyond
//   that the outermost trees are dropped and read again on the way back.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/context.h"
#include "engine/maintenance/used_blobs.h"
#include "model/node.h"
#include "repo/repository.h"

namespace salvor {

struct DescentLimits {
  // As many as the index can hold blobs; file systems end at fewer inodes (ext4) or took weeks.
  uint64_t most_paths = uint64_t{1} << 32;
  // 64 times what a system call takes (PATH_MAX): deep chains are made with relative names.
  size_t longest_path = size_t{256} << 10;
  size_t held_bytes = size_t{64} << 20;
};

// Not thread-safe; for one walk.
class TreeDescent {
 public:
  // What is visited again is read with `reader`, which must outlive this. The index must be loaded.
  TreeDescent(const Context& context, BlobReader& reader, std::string prefix = {},
              DescentLimits limits = {});

  // Goes into a directory of the current one; the first is the root and adds no name. `tree` is
  // what `id` names, or less where it cannot be read. Throws Error{kDamaged} when the path is too
  // long; then nothing has changed.
  void enter(const BlobId& id, std::string_view name, Tree tree);
  void leave();
  // Throws Error{kDamaged} once there are known to be too many paths. Cheap; call it after `enter`.
  void check_paths();

  // The next node of the current directory, which the caller may move from; nullptr after the last.
  // Valid until `enter`, `leave` or `tree`. Throws Error when a tree that had been dropped cannot
  // be read again.
  [[nodiscard]] Node* next();
  // The same node, which the next call gives again.
  [[nodiscard]] Node* peek();
  // The nodes that `next` will give, as far as they are at hand.
  [[nodiscard]] std::span<const Node> rest() const;
  // The whole current tree, with nodes moved from as they are. Reads it again if it was dropped.
  [[nodiscard]] Tree& tree();

  [[nodiscard]] bool done() const { return levels_.empty(); }
  [[nodiscard]] size_t depth() const { return levels_.size(); }
  [[nodiscard]] const BlobId& id() const { return levels_.back().id; }
  // Of the current directory: the prefix and a slash before each name.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Level {
    BlobId id;
    Tree tree;
    size_t next = 0;
    size_t bytes = 0;  // of `tree`; 0 once dropped
    size_t path_length = 0;
    bool dropped = false;
  };

  void drop_outer();
  void load_again(Level& level);
  [[nodiscard]] uint64_t count_paths(uint64_t most_nodes);

  const Context& context_;
  BlobReader& reader_;
  const Index& index_;
  const DescentLimits limits_;
  std::string path_;
  BlobId root_;
  std::deque<Level> levels_;
  size_t first_held_ = 0;  // levels before this one are dropped
  size_t held_bytes_ = 0;
  EntrySet seen_;
  uint64_t visited_ = 0;   // nodes
  uint64_t distinct_ = 0;  // of them in trees that were new
  uint64_t next_count_;    // count once this many were visited
};

}  // namespace salvor
