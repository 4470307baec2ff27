#include "cli/cache_directory.h"

#include <algorithm>
#include <filesystem>

#include <sys/stat.h>

#include "base/error.h"
#include "base/id.h"

namespace salvor::cli {

namespace fs = std::filesystem;

std::string cache_root(const GlobalOptions& options, const Environment& environment) {
  if (options.cache_dir && !options.cache_dir->empty()) {
    return *options.cache_dir;
  }
  if (const auto own = environment.get("SALVOR_CACHE_DIR")) {
    return *own;
  }
  if (const auto other = environment.get("RESTIC_CACHE_DIR")) {
    return *other + "/salvor";  // where there is room for a cache, but not among restic's own
  }
  if (const auto xdg = environment.get("XDG_CACHE_HOME")) {
    return *xdg + "/salvor";
  }
  if (const auto home = environment.get("HOME")) {
    return *home + "/.cache/salvor";
  }
  throw Error(ErrorCode::kUsage, "there is no place for a cache: HOME is not set",
              "Name one with --cache-dir, or use --no-cache.");
}

namespace {

WallTime time_of(const struct stat& status) {
  return WallTime(std::chrono::seconds(status.st_mtim.tv_sec) +
                  std::chrono::nanoseconds(status.st_mtim.tv_nsec));
}

// Adds up the sizes of the files below and finds the newest time: using a cache touches its files.
void measure(CacheEntry& entry) {
  std::error_code ignored;  // files may vanish meanwhile; the numbers are for people
  const auto options = fs::directory_options::skip_permission_denied;
  for (auto at = fs::recursive_directory_iterator(entry.path, options, ignored);
       at != fs::recursive_directory_iterator(); at.increment(ignored)) {
    struct stat status{};
    if (::lstat(at->path().c_str(), &status) == 0) {
      entry.last_used = std::max(entry.last_used, time_of(status));
      entry.size_bytes += S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
    }
  }
}

}  // namespace

std::vector<CacheEntry> list_caches(const std::string& root) {
  std::vector<CacheEntry> entries;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(root, error)) {
    const std::string name = item.path().filename().string();
    struct stat status{};
    // lstat: a symbolic link is not a cache of ours, and following it could remove something else.
    if (!Id<struct RepositoryTag>::parse(name) || ::lstat(item.path().c_str(), &status) != 0 ||
        !S_ISDIR(status.st_mode)) {
      continue;
    }
    entries.push_back({.repository_id = name,
                       .path = item.path().string(),
                       .last_used = time_of(status),
                       .size_bytes = 0});
    measure(entries.back());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Error::from_errno(error.value(), "cannot list the cache directory " + root);
  }
  std::sort(entries.begin(), entries.end(), [](const CacheEntry& a, const CacheEntry& b) {
    return a.last_used != b.last_used ? a.last_used > b.last_used
                                      : a.repository_id < b.repository_id;
  });
  return entries;
}

bool is_old(const CacheEntry& entry, WallTime now, std::chrono::days max_age) {
  return now - entry.last_used > max_age;
}

void remove_cache(const CacheEntry& entry) {
  std::error_code error;
  fs::remove_all(entry.path, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot remove the cache " + entry.path);
  }
}

}  // namespace salvor::cli
