#include "connector/files/target_tree.h"

#include <algorithm>
#include <set>
#include <span>

#include "base/error.h"
#include "model/text_file.h"

namespace salvor {
namespace {

struct Target {
  std::string path;  // cleaned
  bool named = false;
};

// The names that `path` contributes to the snapshot: leading ".." vanish.
std::vector<std::string> snapshot_components(const std::string& path) {
  std::vector<std::string> components;
  const std::string rooted = clean_path("/" + path);
  size_t at = 1;
  while (at < rooted.size()) {
    const size_t slash = std::min(rooted.find('/', at), rooted.size());
    components.push_back(rooted.substr(at, slash - at));
    at = slash + 1;
  }
  return components;
}

// The directory that holds the first of those names: "/", "." or as many ".." as the path begins
// with.
std::string base_directory(std::string_view path) {
  if (path.starts_with('/')) {
    return "/";
  }
  std::string base = ".";
  while (path == ".." || path.starts_with("../")) {
    base = join_path(base, "..");
    path.remove_prefix(std::min<size_t>(3, path.size()));
  }
  return base;
}

void insert_below(TargetTree& tree, const Target& target, const std::string& directory,
                  std::span<const std::string> components) {
  TargetTree& child = tree.children[components.front()];
  if (components.size() == 1) {
    child.path = target.path;
    child.named = target.named;
    return;
  }
  child.metadata_path = join_path(directory, components.front());
  insert_below(child, target, child.metadata_path, components.subspan(1));
}

void insert(TargetTree& root, const Target& target) {
  const std::vector<std::string> components = snapshot_components(target.path);
  const std::string base = base_directory(target.path);
  std::string name = components.front();
  for (int suffix = 1;; ++suffix) {
    const auto taken = root.children.find(name);
    if (taken == root.children.end() || taken->second.base == base) {
      break;
    }
    name = components.front() + "-" + std::to_string(suffix);
  }
  TargetTree& child = root.children[name];
  child.base = base;
  if (components.size() == 1) {
    child.path = target.path;
    child.named = target.named;
    return;
  }
  child.metadata_path = join_path(base, components.front());
  insert_below(child, target, child.metadata_path, std::span(components).subspan(1));
}

// A directory that is a target and also holds other targets turns into its entries, so that only
// leaves have a path.
void unroll(TargetTree& tree, const DirectoryLister& list) {
  if (tree.is_leaf() && !tree.children.empty()) {
    for (const std::string& entry : list(tree.path)) {
      TargetTree& child = tree.children[entry];
      if (child.path.empty()) {
        child.path = join_path(tree.path, entry);
      }
    }
    tree.path.clear();
    tree.named = false;
  }
  for (auto& [name, child] : tree.children) {
    unroll(child, list);
  }
}

}  // namespace

std::string join_path(const std::string& directory, const std::string& name) {
  return clean_path(directory + "/" + name);
}

TargetTree make_target_tree(const std::vector<std::string>& targets, const DirectoryLister& list) {
  std::vector<Target> resolved;
  for (const std::string& text : targets) {
    const std::string path = clean_path(text);
    if (!snapshot_components(path).empty()) {
      resolved.push_back({path, true});
      continue;
    }
    std::vector<std::string> entries = list(path);
    std::sort(entries.begin(), entries.end());
    for (const std::string& entry : entries) {
      resolved.push_back({join_path(path, entry), false});
    }
  }
  TargetTree root;
  std::set<std::string> seen;
  for (const Target& target : resolved) {
    if (seen.insert(target.path).second) {
      insert(root, target);
    }
  }
  unroll(root, list);
  return root;
}

}  // namespace salvor
