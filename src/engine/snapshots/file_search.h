// Finds files in snapshots by name and time of change.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/reading/tree_walk.h"
#include "model/path_pattern.h"

namespace salvor {

// Immutable; thread-safe.
class FileSearch {
 public:
  // Only what was changed neither before `oldest` nor after `newest` (whole seconds, both
  // inclusive) is found.
  FileSearch(PathPatterns patterns, std::optional<int64_t> oldest, std::optional<int64_t> newest)
      : patterns_(std::move(patterns)), oldest_(oldest), newest_(newest) {}

  // Tells what matches in a snapshot's tree, in the order of the tree. As restic's, the search goes
  // below a directory that matches. Directories that cannot be read are told and left out.
  void run(const Context& context, BlobReader& reader, const BlobId& root,
           const std::function<void(const std::string& path, const Node&)>& on_match,
           const std::function<void(const std::string& path, const Error&)>& on_unreadable) const;

 private:
  [[nodiscard]] bool in_time(const Timestamp& changed) const;

  const PathPatterns patterns_;
  const std::optional<int64_t> oldest_;
  const std::optional<int64_t> newest_;
};

}  // namespace salvor
