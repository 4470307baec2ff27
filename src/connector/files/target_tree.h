// Where each backup target stands in the snapshot (facts: restic format, 6.5).
//
// `/home/me` becomes home -> me below the root, `src/x` becomes src -> x, `../src` becomes src, and
// `.` (or `/`,
// `..`) is replaced by what it contains. Several targets share their common parents; two different
// directories that would get the same name at the top are told apart by "-1", "-2".
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace salvor {

struct TargetTree {
  // Below this directory, by the name in the snapshot (byte order). Empty for a leaf.
  std::map<std::string, TargetTree> children;
  // Leaf: the file or directory to back up with all it contains.
  std::string path;
  // Inner directory: where its own metadata comes from (symbolic links followed).
  std::string metadata_path;
  // The user named this very path: exclusions do not apply to it.
  bool named = false;

  // Used while building: what the first component is relative to.
  std::string base;

  [[nodiscard]] bool is_leaf() const { return !path.empty(); }
};

// Names in a directory, in any order, without "." and ".."; throws Error.
using DirectoryLister = std::function<std::vector<std::string>(const std::string& path)>;

// `targets` as given by the user. Throws Error when a directory that must be expanded cannot be
// listed.
[[nodiscard]] TargetTree make_target_tree(const std::vector<std::string>& targets,
                                          const DirectoryLister& list);

// "/a" + "b" -> "/a/b", "." + "b" -> "b", cleaned.
[[nodiscard]] std::string join_path(const std::string& directory, const std::string& name);

}  // namespace salvor
