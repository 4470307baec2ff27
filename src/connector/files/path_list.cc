#include "connector/files/path_list.h"

#include <algorithm>
#include <memory>

#include <dirent.h>
#include <sys/stat.h>

#include "base/error.h"
#include "model/path_pattern.h"
#include "model/text_file.h"

namespace salvor {
namespace {

bool has_meta(std::string_view text) {
  return text.find_first_of("*?[\\") != std::string_view::npos;
}

bool exists(const std::string& path) {
  struct stat stat{};
  return lstat(path.c_str(), &stat) == 0;
}

// The directory part of a glob, without the slash between.
std::string glob_directory(std::string_view directory) {
  if (directory.empty()) {
    return ".";
  }
  return directory == "/" ? "/" : std::string(directory.substr(0, directory.size() - 1));
}

void glob_in_directory(const std::string& directory, const Glob& glob,
                       std::vector<std::string>& found) {
  struct stat stat{};
  if (::stat(directory.c_str(), &stat) != 0 || !S_ISDIR(stat.st_mode)) {
    return;
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(directory.c_str()), closedir);
  if (!open) {
    return;
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(open.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && glob.matches(name)) {
      names.emplace_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    found.push_back(clean_path(directory + "/" + name));
  }
}

void validate(const std::string& pattern) {
  size_t at = 0;
  while (at <= pattern.size()) {
    const size_t slash = std::min(pattern.find('/', at), pattern.size());
    if (!Glob::parse(std::string_view(pattern).substr(at, slash - at))) {
      throw Error(
          ErrorCode::kUsage, "invalid pattern \"" + pattern + "\"",
          "A `[` needs its `]`; use --files-from-verbatim for names that contain such characters.");
    }
    at = slash + 1;
  }
}

std::vector<std::string> expand(const std::string& pattern, unsigned depth) {
  if (!has_meta(pattern)) {
    return exists(pattern) ? std::vector<std::string>{pattern} : std::vector<std::string>{};
  }
  constexpr unsigned kDeepest = 10'000;
  if (depth > kDeepest) {
    throw Error(ErrorCode::kUsage, "pattern is nested too deeply");
  }
  const size_t slash = pattern.rfind('/');
  const std::string_view directory_part = slash == std::string::npos
                                              ? std::string_view()
                                              : std::string_view(pattern).substr(0, slash + 1);
  const std::string file = slash == std::string::npos ? pattern : pattern.substr(slash + 1);
  const std::string directory = glob_directory(directory_part);
  const std::optional<Glob> glob = Glob::parse(file);
  std::vector<std::string> found;
  if (!has_meta(directory) || directory == pattern) {
    glob_in_directory(directory, *glob, found);
    return found;
  }
  for (const std::string& matched : expand(directory, depth + 1)) {
    glob_in_directory(matched, *glob, found);
  }
  return found;
}

}  // namespace

std::vector<std::string> expand_glob(const std::string& pattern) {
  validate(pattern);
  return expand(pattern, 0);
}

PathList parse_files_from(std::string_view content) {
  PathList list;
  for (const std::string& line : split_text_lines(content)) {
    const std::string pattern(trim_space(line));
    if (pattern.empty() || pattern.starts_with('#')) {
      continue;
    }
    std::vector<std::string> expanded = expand_glob(pattern);
    if (expanded.empty()) {
      list.unmatched.push_back(pattern);
    }
    list.paths.insert(list.paths.end(), expanded.begin(), expanded.end());
  }
  return list;
}

std::vector<std::string> parse_files_from_verbatim(std::string_view content) {
  std::vector<std::string> paths = split_text_lines(content);
  std::erase_if(paths, [](const std::string& path) { return path.empty(); });
  return paths;
}

std::vector<std::string> parse_files_from_raw(std::string_view content) {
  std::vector<std::string> paths;
  while (!content.empty()) {
    const size_t end = content.find('\0');
    if (end == std::string_view::npos) {
      throw Error(ErrorCode::kUsage, "--files-from-raw: the last path is not ended by a zero byte",
                  "Use `find ... -print0` to make the list.");
    }
    if (end == 0) {
      throw Error(ErrorCode::kUsage, "--files-from-raw: empty path in the list");
    }
    paths.emplace_back(content.substr(0, end));
    content.remove_prefix(end + 1);
  }
  return paths;
}

}  // namespace salvor
