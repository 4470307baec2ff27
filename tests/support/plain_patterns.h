// restic's definition of its patterns, written down as it is: slow, and what the real ones are
// tested and fuzzed against.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "model/path_pattern.h"

namespace salvor::test {

// `parts` are the pattern's components and `path` the path's, both with a leading "/" when
// absolute.
// "**" is replaced by more and more "*".
[[nodiscard]] inline bool plain_match(std::vector<std::string> parts,
                                      const std::vector<std::string>& path) {
  const auto any_depth = std::find(parts.begin(), parts.end(), "**");
  if (any_depth != parts.end()) {
    const auto length = static_cast<ptrdiff_t>(path.size());
    const auto count = static_cast<ptrdiff_t>(parts.size());
    const auto position = any_depth - parts.begin();
    parts.erase(any_depth);
    for (ptrdiff_t i = 0; i <= length - count + 1; ++i) {
      if (plain_match(parts, path)) {
        return true;
      }
      parts.insert(parts.begin() + position, "*");
    }
    return false;
  }
  if (parts.empty() || parts.size() > path.size()) {
    return false;
  }
  const size_t last = parts.front() == "/" ? 0 : path.size() - parts.size();
  for (size_t offset = parts.front() == "/" ? 0 : 1; offset <= last; ++offset) {
    bool all = true;
    for (size_t i = 0; i < parts.size() && all; ++i) {
      all = parts[i] == "/" ? path[offset + i] == "/"
                            : Glob::parse(parts[i])->matches(path[offset + i]);
    }
    if (all) {
      return true;
    }
  }
  return false;
}

}  // namespace salvor::test
