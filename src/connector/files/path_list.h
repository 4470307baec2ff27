// `--files-from`, `--files-from-verbatim` and `--files-from-raw`, as restic reads them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace salvor {

struct PathList {
  std::vector<std::string> paths;
  // Patterns of `--files-from` that match nothing.
  std::vector<std::string> unmatched;
};

// One glob a line, expanded against the file system in sorted order; blank lines and comments ("#")
// are skipped, surrounding white space removed. Throws Error{kUsage} for a malformed pattern.
[[nodiscard]] PathList parse_files_from(std::string_view content);
// One path a line, taken as it stands; empty lines are skipped.
[[nodiscard]] std::vector<std::string> parse_files_from_verbatim(std::string_view content);
// Paths ended by NUL bytes. Throws Error{kUsage} for an empty path or a missing last NUL.
[[nodiscard]] std::vector<std::string> parse_files_from_raw(std::string_view content);

// The paths that a glob matches (Go's filepath.Glob: `*`, `?`, classes, no `**`, hidden names
// included); throws Error{kUsage} when it is malformed. Unreadable directories match nothing.
[[nodiscard]] std::vector<std::string> expand_glob(const std::string& pattern);

}  // namespace salvor
