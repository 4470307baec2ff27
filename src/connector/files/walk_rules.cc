#include "connector/files/walk_rules.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"

namespace salvor {
namespace {

// The Cache Directory Tagging Specification, https://bford.info/cachedir/.
constexpr std::string_view kCacheTag = "CACHEDIR.TAG:Signature: 8a477f597d28d172789f06886806bc55";

WalkRules::Tag parse_tag(std::string_view text) {
  const size_t colon = text.find(':');
  WalkRules::Tag tag{std::string(text.substr(0, colon)), colon == std::string_view::npos
                                                             ? std::string()
                                                             : std::string(text.substr(colon + 1))};
  if (tag.name.empty()) {
    throw Error(ErrorCode::kUsage, "--exclude-if-present needs a file name",
                "Write --exclude-if-present NAME or NAME:HEADER.");
  }
  return tag;
}

// Whether the tag file in directory `fd` counts.
bool tag_holds(int fd, const WalkRules::Tag& tag, const std::string& directory,
               const WalkRules::Warn& warn) {
  const std::string path = directory + "/" + tag.name;
  struct stat stat{};
  if (fstatat(fd, tag.name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT) {
      warn(Error::from_errno(errno, "cannot look at exclusion tag " + path).message());
    }
    return false;
  }
  if (tag.header.empty()) {
    return true;
  }
  const UniqueFd file(openat(fd, tag.name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    warn(Error::from_errno(errno, "cannot open exclusion tag " + path).message());
    return false;
  }
  std::string start(tag.header.size(), '\0');
  try {
    const size_t got =
        read_full(file.get(), {reinterpret_cast<std::byte*>(start.data()), start.size()}, path);
    start.resize(got);
  } catch (const Error& error) {
    warn(error.message());
    return false;
  }
  if (start != tag.header) {
    warn("exclusion tag " + path + " does not begin with the signature it should have");
    return false;
  }
  return true;
}

}  // namespace

WalkRules::WalkRules(const FilesOptions& options)
    : sensitive_(options.excludes),
      insensitive_(options.insensitive_excludes, PathPatterns::Case::kInsensitive),
      directories_(options.exclude_directories.begin(), options.exclude_directories.end()),
      larger_than_(options.exclude_larger_than),
      one_file_system_(options.one_file_system) {
  for (const std::string& text : options.exclude_if_present) {
    tags_.push_back(parse_tag(text));
  }
  if (options.exclude_caches) {
    tags_.push_back(parse_tag(kCacheTag));
  }
}

WalkRules::Scope WalkRules::scope(const std::string& directory) const {
  return {sensitive_.empty() ? PathPatterns::Scope() : sensitive_.scope(directory),
          insensitive_.empty() ? PathPatterns::Scope() : insensitive_.scope(directory)};
}

WalkRules::Scope WalkRules::enter(const Scope& scope, std::string_view name) const {
  return {
      sensitive_.empty() ? PathPatterns::Scope() : sensitive_.enter(scope.sensitive, name),
      insensitive_.empty() ? PathPatterns::Scope() : insensitive_.enter(scope.insensitive, name)};
}

bool WalkRules::excludes_name(const Scope& scope, std::string_view name) const {
  return (!sensitive_.empty() && sensitive_.matches(scope.sensitive, name)) ||
         (!insensitive_.empty() && insensitive_.matches(scope.insensitive, name));
}

std::vector<const WalkRules::Tag*> WalkRules::tags_in(int fd, const Listing* names,
                                                      const std::string& directory,
                                                      const Warn& warn) const {
  std::vector<const Tag*> holding;
  for (const Tag& tag : tags_) {
    // A tag may be given as a path below the directory ("sub/tag"); only plain names can be looked
    // up.
    const bool listed =
        names == nullptr || tag.name.find('/') != std::string::npos || names->contains(tag.name);
    if (listed && tag_holds(fd, tag, directory, warn)) {
      holding.push_back(&tag);
    }
  }
  return holding;
}

bool WalkRules::excluded_by(const std::vector<const Tag*>& tags, std::string_view name) {
  return std::any_of(tags.begin(), tags.end(), [&](const Tag* tag) { return tag->name != name; });
}

}  // namespace salvor
