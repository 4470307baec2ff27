#include "storage/decorators/cache_storage.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/format.h"
#include "crypto/sha256.h"
#include "storage/layout.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

// https://bford.info/cachedir/
constexpr std::string_view kTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by salvor.\n";

std::string_view folder_of(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kIndex:
      return "index";
    case ObjectKind::kSnapshot:
      return "snapshots";
    default:
      return "data";
  }
}

// Written beside and renamed, so that no reader meets a part; not synced, because readers verify.
void write_atomically(const Context& context, const std::string& path, ByteView bytes) {
  const std::string temporary = path + "-tmp-" + std::to_string(context.random.next_u64());
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) {
    throw Error::from_errno(errno, "cannot write " + temporary);
  }
  try {
    write_full(fd.get(), bytes, temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw Error::from_errno(errno, "cannot write " + path);
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void make_tagged_directory(const Context& context, const std::string& repository_directory) {
  const fs::path top = fs::path(repository_directory).parent_path();
  fs::create_directories(repository_directory);
  if (!fs::exists(top / "CACHEDIR.TAG")) {
    write_atomically(context, (top / "CACHEDIR.TAG").string(), as_bytes(kTag));
  }
}

// Of when the caches were last pruned; no object's name.
constexpr const char* kPruneMarker = "last-pruned";
constexpr auto kPruneEvery = std::chrono::hours(24);

std::chrono::nanoseconds time_of(const struct stat& status) {
  return std::chrono::seconds(status.st_mtim.tv_sec) +
         std::chrono::nanoseconds(status.st_mtim.tv_nsec);
}

// Whether the caches below `top` are to be pruned by this process: sets the marker, so that of
// several one does it.
bool take_prune_turn(const Context& context, const fs::path& top) {
  const std::string marker = (top / kPruneMarker).string();
  const std::chrono::nanoseconds now = context.clock.now().time_since_epoch();
  struct stat status{};
  if (::stat(marker.c_str(), &status) == 0 && time_of(status) <= now &&
      now - time_of(status) < kPruneEvery) {
    return false;
  }
  const UniqueFd fd(::open(marker.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const std::array<timespec, 2> times{timespec{seconds.count(), 0}, timespec{seconds.count(), 0}};
  return fd && ::futimens(fd.get(), times.data()) == 0;
}

struct CachedFile {
  std::chrono::nanoseconds used;  // since the epoch
  uint64_t bytes;
  std::string path;
};

// Those of one repository: {index,snapshots,data}/<two digits>/<name>, and what writers left.
void find_cached_files(const Context& context, const fs::path& repository,
                       std::vector<CachedFile>& files) {
  std::error_code ignored;
  for (const ObjectKind kind : {ObjectKind::kIndex, ObjectKind::kSnapshot, ObjectKind::kPack}) {
    for (fs::recursive_directory_iterator it(repository / folder_of(kind), ignored), end; it != end;
         it.increment(ignored)) {
      context.check_stopped();
      const std::string path = it->path().string();
      const std::string name = it->path().filename().string();
      struct stat status{};
      if (is_object_name(kind, before_temporary_mark(name).value_or(name)) &&
          ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
        files.push_back({time_of(status), static_cast<uint64_t>(status.st_size), path});
      }
    }
  }
}

bool hash_matches(ByteView content, const std::string& name) {
  return to_hex(sha256(content)) == name;
}

}  // namespace

CacheStorage::CacheStorage(std::unique_ptr<Storage> base, CacheOptions options)
    : ForwardingStorage(std::move(base)), options_(std::move(options)) {}

CacheStorage::Statistics CacheStorage::statistics() const {
  return {hits_, misses_, dropped_, failures_};
}

bool CacheStorage::cacheable(const ObjectName& object) const {
  return !options_.directory.empty() &&
         (object.kind == ObjectKind::kIndex || object.kind == ObjectKind::kSnapshot);
}

std::string CacheStorage::path_of(const ObjectName& object) const {
  return options_.directory + "/" + std::string(folder_of(object.kind)) + "/" +
         object.name.substr(0, 2) + "/" + object.name;
}

void CacheStorage::failed(const Context& context, const std::string& message) {
  if (failures_.fetch_add(1) == 0) {
    context.events.on(Warning{"the cache does not work: " + message,
                              "The command goes on without it, slower. Check " +
                                  printable(options_.directory) + " or use --no-cache."});
  }
}

void CacheStorage::drop(const ObjectName& object) {
  const std::scoped_lock lock(mutex_);
  verified_packs_.erase(object.name);
  ::unlink(path_of(object).c_str());
}

// The cached object, verified; nothing when there is none.
std::optional<Buffer> CacheStorage::load(const Context& context, const ObjectName& object,
                                         uint64_t limit_bytes) {
  const std::string path = path_of(object);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) {
      failed(context, Error::from_errno(errno, "cannot read " + printable(path)).message());
    }
    return std::nullopt;
  }
  if (static_cast<uint64_t>(status.st_size) > limit_bytes) {
    return std::nullopt;  // the base decides what that means
  }
  try {
    Buffer content = read_file(path, limit_bytes);
    if (hash_matches(content.view(), object.name)) {
      // Its age is counted from its last use.
      ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
      return content;
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) {
      failed(context, error.message());
    }
    return std::nullopt;
  }
  ++dropped_;
  drop(object);
  return std::nullopt;
}

// Keeps `bytes` if they are what the name says; a failure only costs speed.
void CacheStorage::store(const Context& context, const ObjectName& object, ByteView bytes) {
  if (failures_ > 0 || !hash_matches(bytes, object.name)) {
    return;
  }
  try {
    const std::string path = path_of(object);
    make_tagged_directory(context, options_.directory);
    fs::create_directories(fs::path(path).parent_path());
    write_atomically(context, path, bytes);
    prune_when_due(context);
  } catch (const std::exception& error) {
    failed(context, error.what());
  }
}

// Once a process, and once a day: the caches grow by what is written only.
void CacheStorage::prune_when_due(const Context& context) {
  const fs::path top = fs::path(options_.directory).parent_path();
  if (prune_considered_.exchange(true) || !take_prune_turn(context, top)) {
    return;
  }
  // What it began in is done; an interruption shows with the next call.
  const Context unstopped = context.with_stop({});
  (void)prune_cache(unstopped, top.string(), options_.limits);
}

void CacheStorage::put(const Context& context, const ObjectName& object,
                       std::span<const ByteView> parts) {
  base_->put(context, object, parts);
  if (cacheable(object)) {
    Buffer whole;
    whole.reserve(total_size(parts));
    for (const ByteView part : parts) {
      whole.append(part);
    }
    store(context, object, whole.view());
  }
}

Buffer CacheStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  check_call(context, object);
  if (!cacheable(object)) {
    return base_->get(context, object, limit_bytes);
  }
  if (auto content = load(context, object, limit_bytes)) {
    ++hits_;
    return std::move(*content);
  }
  ++misses_;
  Buffer content = base_->get(context, object, limit_bytes);
  store(context, object, content.view());
  return content;
}

void CacheStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                             MutableBytes out) {
  check_call(context, object);
  if (object.kind != ObjectKind::kPack || !options_.keep_pack || !options_.keep_pack(object.name)) {
    base_->get_range(context, object, offset, out);
    return;
  }
  if (read_verified_range(context, object, offset, out)) {
    ++hits_;
    return;
  }
  ++misses_;
  if (!fetch_pack(context, object) || !read_verified_range(context, object, offset, out)) {
    base_->get_range(context, object, offset, out);
  }
}

// False when the pack is not in the cache, not yet known to be sound, or shorter than that.
bool CacheStorage::read_verified_range(const Context& context, const ObjectName& object,
                                       uint64_t offset, MutableBytes out) {
  {
    const std::scoped_lock lock(mutex_);
    if (!verified_packs_.contains(object.name)) {
      return false;
    }
  }
  const std::string path = path_of(object);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd) {
    try {
      if (pread_full(fd.get(), out, offset, path) == out.size()) {
        return true;
      }
    } catch (const Error& error) {
      failed(context, error.message());
    }
  }
  const std::scoped_lock lock(mutex_);
  verified_packs_.erase(object.name);
  return false;
}

// Makes the pack one that read_verified_range can read, from the cache or from the base. False when
// that is not possible or not wanted.
bool CacheStorage::fetch_pack(const Context& context, const ObjectName& object) {
  {
    std::unique_lock lock(mutex_);
    fetched_.wait(lock, [&] { return !fetching_.contains(object.name); });
    if (verified_packs_.contains(object.name)) {
      return true;  // another thread was faster
    }
    if (large_packs_.contains(object.name)) {
      return false;
    }
    fetching_.insert(object.name);
  }
  bool fetched = false;
  std::exception_ptr failure;
  try {
    fetched = fetch_pack_now(context, object);
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::scoped_lock lock(mutex_);
    fetching_.erase(object.name);
    if (fetched) {
      verified_packs_.insert(object.name);
    }
  }
  fetched_.notify_all();
  if (failure) {
    std::rethrow_exception(failure);
  }
  return fetched;
}

bool CacheStorage::fetch_pack_now(const Context& context, const ObjectName& object) {
  if (load(context, object, options_.max_pack_bytes)) {
    return true;
  }
  if (failures_ > 0) {
    return false;
  }
  Buffer content;
  try {
    content = base_->get(context, object, options_.max_pack_bytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
      throw;
    }
    if (error.code() == ErrorCode::kDamaged) {  // too large to keep
      const std::scoped_lock lock(mutex_);
      large_packs_.insert(object.name);
    }
    return false;  // the caller will see what is wrong with it
  }
  if (!hash_matches(content.view(), object.name)) {
    return false;  // damaged at the base: let the caller see the range as it is
  }
  store(context, object, content.view());
  return failures_ == 0;
}

void CacheStorage::list(const Context& context, ObjectKind kind,
                        const std::function<void(const ObjectInfo&)>& on_object) {
  std::error_code ignored;
  const fs::path folder = fs::path(options_.directory) / folder_of(kind);
  const bool cached = cacheable({kind, {}}) || (kind == ObjectKind::kPack && options_.keep_pack);
  // Looked at before the base is asked: what is put and cached meanwhile must not be dropped.
  std::set<std::string> held;
  if (cached) {
    for (fs::recursive_directory_iterator it(folder, ignored), end; it != end;
         it.increment(ignored)) {
      if (is_object_name(kind, it->path().filename().string())) {
        held.insert(it->path().filename().string());
      }
    }
  }
  base_->list(context, kind, [&](const ObjectInfo& object) {
    held.erase(object.name);
    on_object(object);
  });
  for (const std::string& name : held) {
    drop({kind, name});
  }
}

void CacheStorage::remove(const Context& context, const ObjectName& object) {
  remove_many(context, std::span<const ObjectName>(&object, 1));
}

void CacheStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  base_->remove_many(context, objects);
  for (const ObjectName& object : objects) {
    if (cacheable(object) || (object.kind == ObjectKind::kPack && options_.keep_pack)) {
      drop(object);
    }
  }
}

std::unique_ptr<Storage> with_cache(std::unique_ptr<Storage> base, CacheOptions options) {
  if (!base->traits().remote || options.directory.empty()) {
    return base;
  }
  return std::make_unique<CacheStorage>(std::move(base), std::move(options));
}

std::string default_cache_directory(std::string_view xdg_cache_home, std::string_view home) {
  // The specification says that a relative path is to be ignored.
  if (xdg_cache_home.starts_with('/')) {
    return std::string(xdg_cache_home) + "/salvor";
  }
  return home.empty() ? std::string() : std::string(home) + "/.cache/salvor";
}

CachePruned prune_cache(const Context& context, const std::string& directory,
                        const CacheLimits& limits) {
  std::vector<CachedFile> files;
  std::error_code ignored;
  for (fs::directory_iterator it(directory, ignored), end; it != end; it.increment(ignored)) {
    struct stat status{};
    // Named by the repository's id, which looks as a pack's name does.
    if (is_object_name(ObjectKind::kPack, it->path().filename().string()) &&
        ::lstat(it->path().c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      find_cached_files(context, it->path(), files);
    }
  }
  uint64_t total_bytes = 0;
  for (const CachedFile& file : files) {
    total_bytes += file.bytes;
  }
  std::ranges::sort(files, {}, &CachedFile::used);
  const auto oldest = context.clock.now().time_since_epoch() - limits.max_age;
  CachePruned pruned;
  for (const CachedFile& file : files) {
    if (file.used >= oldest && total_bytes <= limits.max_bytes) {
      break;
    }
    context.check_stopped();
    if (::unlink(file.path.c_str()) != 0 && errno != ENOENT) {
      ++pruned.failures;
      continue;
    }
    total_bytes -= file.bytes;
    pruned.bytes += file.bytes;
    ++pruned.files;
  }
  return pruned;
}

}  // namespace salvor
