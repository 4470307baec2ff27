// What a backup leaves out, and what one file must look like to be left out by it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "connector/files/files_source.h"
#include "connector/files/listing.h"
#include "model/path_pattern.h"

namespace salvor {

// Immutable once made; thread-safe.
class WalkRules {
 public:
  // Throws Error{kUsage} for malformed patterns and tag specifications.
  explicit WalkRules(const FilesOptions& options);

  // What a directory's path decides about the names in it.
  struct Scope {
    PathPatterns::Scope sensitive;
    PathPatterns::Scope insensitive;
  };
  [[nodiscard]] Scope scope(const std::string& directory) const;
  [[nodiscard]] Scope enter(const Scope& scope, std::string_view name) const;
  [[nodiscard]] bool excludes_name(const Scope& scope, std::string_view name) const;
  // `path` is absolute; only directories are looked up.
  [[nodiscard]] bool excludes_directory(const std::string& path) const {
    return !directories_.empty() && directories_.contains(path);
  }
  [[nodiscard]] bool has_directories() const { return !directories_.empty(); }
  [[nodiscard]] bool excludes_size(uint64_t size) const {
    return larger_than_ && size > *larger_than_;
  }
  [[nodiscard]] bool one_file_system() const { return one_file_system_; }

  // A file whose presence excludes its neighbours.
  struct Tag {
    std::string name;
    std::string header;  // what it must begin with; empty: anything
  };
  // The tags that hold for the open directory `fd`. `warn` hears of tag files that do not count.
  using Warn = std::function<void(const std::string& message)>;
  [[nodiscard]] std::vector<const Tag*> tags_in(int fd, const Listing* names,
                                                const std::string& directory,
                                                const Warn& warn) const;
  [[nodiscard]] bool has_tags() const { return !tags_.empty(); }
  [[nodiscard]] static bool excluded_by(const std::vector<const Tag*>& tags, std::string_view name);

 private:
  PathPatterns sensitive_;
  PathPatterns insensitive_;
  std::vector<Tag> tags_;
  std::unordered_set<std::string> directories_;
  std::optional<uint64_t> larger_than_;
  bool one_file_system_ = false;
};

}  // namespace salvor
