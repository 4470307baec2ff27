// How a put becomes atomic and durable, and in which order that must happen:
//
//   1. write everything to a temporary name in the final directory, set its mode, fsync it: from
//   here on
//      the bytes survive a crash, but under a name that everyone ignores;
//   2. rename it to the final name, which fails if that exists: readers see nothing or everything,
//   and of
//      two writers one wins;
//   3. fsync the directory: the name survives a crash. Only now does the call return.
//
// A writer that finds the name taken must do step 3 too before it may report success: the one who
// took it may not have got there yet. A directory that is made on demand must have its own name
// fsynced in its parent before anyone relies on a file in it, which is what directories_mutex_ sees
// to.
#include "storage/local/local_storage.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <mutex>
#include <set>
#include <shared_mutex>

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/format.h"
#include "storage/layout.h"
#include "storage/local/descriptor_cache.h"
#include "storage/local/temporary_file.h"

namespace salvor {
namespace {

constexpr size_t kOpenPacks = 64;
std::string below(std::string directory, const std::string& name) {
  directory.append(1, '/').append(name);
  return directory;
}

struct Path {
  std::string directory;  // relative to the repository, "." for the config
  std::string file;
};

std::string_view top_directory(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kConfig:
      return ".";
    case ObjectKind::kKey:
      return "keys";
    case ObjectKind::kLock:
      return "locks";
    case ObjectKind::kSnapshot:
      return "snapshots";
    case ObjectKind::kIndex:
      return "index";
    case ObjectKind::kPack:
      return "data";
    case ObjectKind::kSalvor:
      return "salvor";
  }
  return ".";
}

Path path_of(const ObjectName& object) {
  const std::string top(top_directory(object.kind));
  if (object.kind == ObjectKind::kConfig) {
    return {top, "config"};
  }
  if (object.kind == ObjectKind::kPack) {
    return {top + "/" + object.name.substr(0, 2), object.name};
  }
  const size_t slash = object.name.rfind('/');
  if (slash == std::string::npos) {
    return {top, object.name};
  }
  return {top + "/" + object.name.substr(0, slash), object.name.substr(slash + 1)};
}

// The two-digit names of the 256 pack directories.
std::string pack_directory(unsigned number) {
  const std::byte byte{static_cast<unsigned char>(number)};
  return "data/" + to_hex(ByteView(&byte, 1));
}

// Whether the directory lies on a file system that this machine alone writes to. Only types known
// to be so: a network file system may show a new file late.
bool on_file_system_of_this_machine(const std::string& directory) {
  constexpr uint32_t kZfs = 0x2fc12fc1;  // these two are not in linux/magic.h
  constexpr uint32_t kBcachefs = 0xca451a4e;
  struct statfs about{};
  if (statfs(directory.c_str(), &about) != 0) {
    return false;
  }
  switch (static_cast<uint32_t>(about.f_type)) {
    case EXT4_SUPER_MAGIC:  // ext2 and ext3 as well
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case XFS_SUPER_MAGIC:
    case kZfs:
    case kBcachefs:
      return true;
    default:
      return false;
  }
}

bool is_absent(int error_number) {
  return error_number == ENOENT || error_number == ENOTDIR;
}

class LocalStorage final : public Storage {
 public:
  LocalStorage(std::string root_path, std::unique_ptr<FileCalls> own_calls, FileCalls* calls)
      : root_path_(std::move(root_path)),
        own_calls_(std::move(own_calls)),
        calls_(calls != nullptr ? *calls : *own_calls_) {}

  using Storage::put;
  void create(const Context& context) override;
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override;
  void replace_config(const Context& context, ByteView bytes) override;
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override;
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override;
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override;
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override;
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override;
  void remove(const Context& context, const ObjectName& object) override;
  void remove_many(const Context& context, std::span<const ObjectName> objects) override;
  std::vector<Leftover> leftovers(const Context& context, std::chrono::seconds age) override;
  void remove_leftovers(const Context& context, std::span<const Leftover> leftovers) override;
  std::optional<StorageSpace> space(const Context& context) override;
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = 4,
            .remote = false,
            .lists_at_once = on_file_system_of_this_machine(root_path_ + "/locks"),
            .description = "local directory " + printable(root_path_)};
  }

 private:
  struct Names {
    std::vector<std::string> files;
    std::vector<std::string> directories;
  };

  int root();
  int writable_root();
  [[nodiscard]] bool root_was_removed() const;
  [[nodiscard]] Error gone() const;
  [[nodiscard]] Error failure(int error_number, std::string_view verb,
                              const ObjectName& object) const;
  [[nodiscard]] std::string what(std::string_view verb, const ObjectName& object) const;

  UniqueFd open_directory(const std::string& relative, int* error_number = nullptr);
  UniqueFd open_or_make_directory(const std::string& relative);
  void make_directories(const std::string& relative);
  void sync_directory(int fd, const std::string& relative);
  [[nodiscard]] TemporaryFile::Place place(const ObjectName& object, int directory,
                                           const std::string& file) const;
  UniqueFd open_object(const ObjectName& object);
  [[nodiscard]] std::optional<uint64_t> size_at(int directory, const char* path) const;

  Names read_directory(const Context& context, const std::string& relative);
  void list_directory(const Context& context, ObjectKind kind, const std::string& relative,
                      const std::function<void(const ObjectInfo&)>& on_object);
  void list_tree(const Context& context, const std::string& relative, const std::string& prefix,
                 std::string_view begin, unsigned depth,
                 const std::function<void(const ObjectInfo&)>& on_object);

  [[nodiscard]] std::optional<struct stat> status_at(const std::string& path);
  [[nodiscard]] std::optional<std::chrono::seconds> newest_lock(const Context& context);
  [[nodiscard]] std::vector<std::string> directories_with_objects(const Context& context);
  void sync_directories(const std::set<std::string>& directories);

  const std::string root_path_;
  const std::unique_ptr<FileCalls> own_calls_;
  FileCalls& calls_;
  std::mutex root_mutex_;
  UniqueFd root_;                 // written once, under root_mutex_
  std::atomic<int> root_fd_{-1};  // the same, for everyone
  bool group_readable_ = false;   // written before root_fd_
  // Exclusive while directories are made and fsynced; shared while one is opened to write into.
  std::shared_mutex directories_mutex_;
  DescriptorCache packs_{kOpenPacks};
};

std::string LocalStorage::what(std::string_view verb, const ObjectName& object) const {
  return "cannot " + std::string(verb) + " " + object.display() + " in " + traits().description;
}

Error LocalStorage::failure(int error_number, std::string_view verb,
                            const ObjectName& object) const {
  return Error::from_errno(error_number, what(verb, object));
}

Error LocalStorage::gone() const {
  return {ErrorCode::kNotFound, "repository directory " + printable(root_path_) + " does not exist",
          "Check the path, and whether its file system is mounted."};
}

// The descriptor of the repository directory, -1 when it does not exist (yet).
int LocalStorage::root() {
  const int known = root_fd_.load(std::memory_order_acquire);
  if (known >= 0) {
    return known;
  }
  const std::scoped_lock lock(root_mutex_);
  if (root_.valid()) {
    return root_.get();
  }
  UniqueFd fd(::open(root_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) {
      return -1;
    }
    throw Error::from_errno(errno, "cannot open repository directory " + printable(root_path_));
  }
  struct stat config{};
  group_readable_ =
      ::fstatat(fd.get(), "config", &config, 0) == 0 && (config.st_mode & S_IRGRP) != 0;
  root_ = std::move(fd);
  root_fd_.store(root_.get(), std::memory_order_release);
  return root_.get();
}

int LocalStorage::writable_root() {
  const int fd = root();
  if (fd < 0) {
    throw gone();
  }
  return fd;
}

bool LocalStorage::root_was_removed() const {
  const int fd = root_fd_.load(std::memory_order_acquire);
  struct stat status{};
  return fd >= 0 && ::fstat(fd, &status) == 0 && status.st_nlink == 0;
}

UniqueFd LocalStorage::open_directory(const std::string& relative, int* error_number) {
  UniqueFd fd(::openat(writable_root(), relative.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    if (error_number != nullptr) {
      *error_number = errno;
    } else {
      throw Error::from_errno(errno, "cannot open " + relative + " in " + traits().description);
    }
  }
  return fd;
}

UniqueFd LocalStorage::open_or_make_directory(const std::string& relative) {
  {
    const std::shared_lock lock(directories_mutex_);
    int error_number = 0;
    UniqueFd fd = open_directory(relative, &error_number);
    if (fd) {
      return fd;
    }
    if (error_number != ENOENT) {
      throw Error::from_errno(error_number,
                              "cannot open " + relative + " in " + traits().description);
    }
  }
  make_directories(relative);
  return open_directory(relative);
}

// Makes `relative` and what leads to it, each made durable in its parent.
void LocalStorage::make_directories(const std::string& relative) {
  const std::unique_lock lock(directories_mutex_);
  const int root = writable_root();
  for (size_t end = 0; end != std::string::npos;) {
    end = relative.find('/', end == 0 ? 0 : end + 1);
    const std::string part = relative.substr(0, end);
    if (calls_.make_directory(root, part.c_str(), group_readable_ ? 0770 : 0700) != 0) {
      if (errno == EEXIST) {
        continue;
      }
      if (errno == ENOENT && root_was_removed()) {
        throw gone();
      }
      throw Error::from_errno(errno, "cannot make " + part + " in " + traits().description);
    }
    if (group_readable_) {
      // The umask must not keep the group out; a set-group-id bit that was inherited stays.
      const UniqueFd made = open_directory(part);
      struct stat status{};
      if (::fstat(made.get(), &status) == 0) {
        calls_.change_mode(made.get(), (status.st_mode & 07777U) | 0770U);
      }
    }
    const size_t slash = part.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : part.substr(0, slash);
    sync_directory(open_directory(parent).get(), parent);
  }
}

void LocalStorage::sync_directory(int fd, const std::string& relative) {
  // Some network file systems cannot fsync a directory; they make names durable by themselves.
  if (calls_.sync(fd) != 0 && !is_unsupported(errno)) {
    throw Error::from_errno(errno, "cannot sync " + relative + " in " + traits().description);
  }
}

void LocalStorage::create(const Context& context) {
  context.check_stopped();
  if (root() < 0) {
    std::error_code error;
    const std::filesystem::path path(root_path_);
    std::filesystem::create_directories(path.parent_path(), error);
    if (error ||
        (calls_.make_directory(AT_FDCWD, root_path_.c_str(), 0700) != 0 && errno != EEXIST)) {
      throw Error::from_errno(error ? error.value() : errno,
                              "cannot make repository directory " + printable(root_path_));
    }
    const UniqueFd parent(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parent) {  // a parent that may be entered but not read cannot be synced
      sync_directory(parent.get(), "..");
    }
  }
  const int fd = writable_root();
  const auto make = [&](const std::string& relative) {
    context.check_stopped();
    if (calls_.make_directory(fd, relative.c_str(), group_readable_ ? 0770 : 0700) != 0 &&
        errno != EEXIST) {
      const int error_number = errno;
      if (error_number == ENOENT && root_was_removed()) {
        throw gone();
      }
      throw Error::from_errno(error_number,
                              "cannot make " + relative + " in " + traits().description);
    }
  };
  const std::unique_lock lock(directories_mutex_);
  for (const char* top : {"data", "index", "keys", "locks", "snapshots"}) {
    make(top);
  }
  for (unsigned i = 0; i < 256; ++i) {
    make(pack_directory(i));
  }
  sync_directory(open_directory("data").get(), "data");
  sync_directory(fd, ".");
}

TemporaryFile::Place LocalStorage::place(const ObjectName& object, int directory,
                                         const std::string& file) const {
  return {.directory = directory,
          .name = file,
          .mode = group_readable_ ? mode_t{0440} : mode_t{0400},
          .what = what("write", object)};
}

void LocalStorage::put(const Context& context, const ObjectName& object,
                       std::span<const ByteView> parts) {
  check_call(context, object);
  const Path path = path_of(object);
  const UniqueFd directory = open_or_make_directory(path.directory);
  // Saves the work when it is there already; the race is decided by publish().
  bool taken = size_at(directory.get(), path.file.c_str()).has_value();
  if (!taken) {
    TemporaryFile temporary(calls_, context.random, place(object, directory.get(), path.file));
    temporary.write(parts);
    temporary.finish();
    context.check_stopped();
    taken = !temporary.publish();
  }
  if (taken) {
    const auto existing = size_at(directory.get(), path.file.c_str());
    if (!existing) {
      throw Error(ErrorCode::kFailed,
                  what("write", object) + ": its name is taken or was removed meanwhile");
    }
    check_existing(*this, context, object, *existing, parts);
  }
  sync_directory(directory.get(), path.directory);
}

void LocalStorage::replace_config(const Context& context, ByteView bytes) {
  context.check_stopped();
  const ObjectName object{ObjectKind::kConfig, {}};
  const UniqueFd directory = open_directory(".");
  TemporaryFile temporary(calls_, context.random, place(object, directory.get(), "config"));
  temporary.write(std::span<const ByteView>(&bytes, 1));
  temporary.finish();
  context.check_stopped();
  temporary.publish_over();
  sync_directory(directory.get(), ".");
}

// Never blocks on what is not a regular file (a fifo), and throws for it.
UniqueFd LocalStorage::open_object(const ObjectName& object) {
  const int fd = root();
  if (fd < 0) {
    throw gone();
  }
  UniqueFd file(
      ::openat(fd, local_path(object).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) {
    if (errno == ENOTDIR) {
      errno = ENOENT;
    }
    throw failure(errno, "read", object);
  }
  return file;
}

Buffer LocalStorage::get(const Context& context, const ObjectName& object, uint64_t limit_bytes) {
  check_call(context, object);
  const UniqueFd fd = open_object(object);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) {
    throw failure(errno, "read", object);
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it is not a regular file");
  }
  const auto size_bytes = static_cast<uint64_t>(status.st_size);
  if (size_bytes > limit_bytes) {
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it has " +
                                         std::to_string(size_bytes) + " bytes, more than " +
                                         std::to_string(limit_bytes));
  }
  Buffer content(size_bytes);
  // Not announced with posix_fadvise: WILLNEED and SEQUENTIAL made such reads slower, cold and warm
  // (16 MiB warm 2.7 against 6.9 GB/s, cold 1.0 against 1.4 on ext4).
  content.resize(pread_full(fd.get(), content.bytes(), 0, what("read", object)));
  return content;
}

void LocalStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                             MutableBytes out) {
  check_call(context, object);
  const bool cached = object.kind == ObjectKind::kPack;
  DescriptorCache::Handle handle = cached ? packs_.find(object.name) : nullptr;
  if (!handle) {
    UniqueFd fd = open_object(object);
    handle = cached ? packs_.insert(object.name, std::move(fd))
                    : std::make_shared<const UniqueFd>(std::move(fd));
  }
  size_t got = 0;
  try {
    got = pread_full(handle->get(), out, offset, object.display());
  } catch (const Error&) {
    packs_.erase(object.name);  // a stale NFS handle must not be used again
    throw;
  }
  if (got < out.size()) {
    packs_.erase(object.name);
    throw Error(ErrorCode::kDamaged, what("read", object) + ": it ends at byte " +
                                         std::to_string(offset + got) + ", before byte " +
                                         std::to_string(offset + out.size()));
  }
}

// The size of a regular file; nothing when there is none. Throws only for real failures.
std::optional<uint64_t> LocalStorage::size_at(int directory, const char* path) const {
  struct stat status{};
  if (::fstatat(directory, path, &status, 0) != 0) {
    if (is_absent(errno)) {
      return std::nullopt;
    }
    throw Error::from_errno(errno,
                            "cannot look at " + printable(path) + " in " + traits().description);
  }
  if (!S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(status.st_size);
}

std::optional<ObjectInfo> LocalStorage::stat(const Context& context, const ObjectName& object) {
  check_call(context, object);
  const int fd = root();
  if (fd < 0) {
    return std::nullopt;
  }
  const auto size_bytes = size_at(fd, local_path(object).c_str());
  return size_bytes ? std::optional(ObjectInfo{object.name, *size_bytes}) : std::nullopt;
}

// Everything in a directory (empty when there is none), so that what is done with the names cannot
// disturb the reading.
LocalStorage::Names LocalStorage::read_directory(const Context& context,
                                                 const std::string& relative) {
  context.check_stopped();
  Names names;
  if (root() < 0) {
    return names;
  }
  int error_number = 0;
  UniqueFd fd = open_directory(relative, &error_number);
  if (!fd) {
    if (!is_absent(error_number)) {
      throw Error::from_errno(error_number,
                              "cannot list " + relative + " in " + traits().description);
    }
    if (root_was_removed()) {
      throw gone();
    }
    return names;
  }
  const auto close_stream = [](DIR* stream) { ::closedir(stream); };
  const std::unique_ptr<DIR, decltype(close_stream)> stream(::fdopendir(fd.get()), close_stream);
  if (!stream) {
    throw Error::from_errno(errno, "cannot list " + relative + " in " + traits().description);
  }
  (void)fd.release();
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) {
        throw Error::from_errno(errno, "cannot list " + relative + " in " + traits().description);
      }
      return names;
    }
    const std::string name(entry->d_name);
    if (entry->d_type != DT_DIR) {
      names.files.push_back(name);
    }
    if (entry->d_type == DT_DIR || entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) {
      names.directories.push_back(name);
    }
  }
}

void LocalStorage::list_directory(const Context& context, ObjectKind kind,
                                  const std::string& relative,
                                  const std::function<void(const ObjectInfo&)>& on_object) {
  for (const std::string& file : read_directory(context, relative).files) {
    // A pack in a directory that is not its own could not be opened: foreign too.
    if (!is_object_name(kind, file) ||
        (kind == ObjectKind::kPack && file.compare(0, 2, relative, 5, 2) != 0)) {
      continue;
    }
    context.check_stopped();
    // Nothing: removed meanwhile, or not a regular file.
    if (const auto size_bytes = size_at(root(), below(relative, file).c_str())) {
      on_object({file, *size_bytes});
    }
  }
}

void LocalStorage::list_tree(const Context& context, const std::string& relative,
                             const std::string& prefix, std::string_view begin, unsigned depth,
                             const std::function<void(const ObjectInfo&)>& on_object) {
  constexpr unsigned kMaxDepth = 64;  // symbolic links may make a circle
  const Names names = read_directory(context, relative);
  for (const std::string& file : names.files) {
    if (file.starts_with(begin) && is_object_name(ObjectKind::kSalvor, prefix + file)) {
      context.check_stopped();
      if (const auto size_bytes = size_at(root(), below(relative, file).c_str())) {
        on_object({prefix + file, *size_bytes});
      }
    }
  }
  for (const std::string& directory : names.directories) {
    if (depth < kMaxDepth && directory.starts_with(begin) &&
        is_object_name(ObjectKind::kSalvor, prefix + directory)) {
      list_tree(context, below(relative, directory), below(prefix + directory, ""), {}, depth + 1,
                on_object);
    }
  }
}

void LocalStorage::list(const Context& context, ObjectKind kind,
                        const std::function<void(const ObjectInfo&)>& on_object) {
  context.check_stopped();
  const std::string top(top_directory(kind));
  if (kind == ObjectKind::kConfig) {
    if (const auto config = stat(context, {kind, {}})) {
      on_object(*config);
    }
  } else if (kind == ObjectKind::kSalvor) {
    list_tree(context, top, "", {}, 0, on_object);
  } else if (kind == ObjectKind::kPack) {
    // One look at data/ saves 256 failing ones in a directory that is gone.
    const Names names = read_directory(context, top);
    const std::set<std::string> present(names.directories.begin(), names.directories.end());
    for (unsigned i = 0; i < 256; ++i) {
      const std::string directory = pack_directory(i);
      if (present.contains(directory.substr(5))) {
        list_directory(context, kind, directory, on_object);
      }
    }
  } else {
    list_directory(context, kind, top, on_object);
  }
}

void LocalStorage::list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                               const std::function<void(const ObjectInfo&)>& on_object) {
  if (kind != ObjectKind::kSalvor) {
    Storage::list_prefix(context, kind, prefix, on_object);
    return;
  }
  context.check_stopped();
  const size_t slash = prefix.rfind('/');
  if (!may_begin_name(kind, prefix)) {
    return;
  }
  if (slash == std::string_view::npos) {
    list_tree(context, std::string(top_directory(kind)), "", prefix, 0, on_object);
  } else {
    const std::string directory(prefix.substr(0, slash));
    list_tree(context, below(std::string(top_directory(kind)), directory), below(directory, ""),
              prefix.substr(slash + 1), 0, on_object);
  }
}

std::optional<StorageSpace> LocalStorage::space(const Context& context) {
  context.check_stopped();
  const int fd = root();
  if (fd < 0) {
    return std::nullopt;
  }
  struct statvfs info{};
  if (::fstatvfs(fd, &info) != 0) {
    throw Error::from_errno(errno, "cannot ask for the free space of " + traits().description);
  }
  return StorageSpace{.free_bytes = uint64_t{info.f_bavail} * info.f_frsize,
                      .total_bytes = uint64_t{info.f_blocks} * info.f_frsize};
}

void LocalStorage::remove(const Context& context, const ObjectName& object) {
  remove_many(context, std::span<const ObjectName>(&object, 1));
}

void LocalStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  std::set<std::string> touched;
  for (const ObjectName& object : objects) {
    check_call(context, object);
    const int fd = root();
    if (fd < 0) {
      return;
    }
    const Path path = path_of(object);
    packs_.erase(object.name);
    // What is absent already may have been removed by someone who has not synced yet.
    touched.insert(path.directory);
    if (calls_.unlink(fd, local_path(object).c_str()) != 0 && !is_absent(errno)) {
      throw failure(errno, "remove", object);
    }
  }
  sync_directories(touched);
}

// Those that are gone by now are none of ours.
void LocalStorage::sync_directories(const std::set<std::string>& directories) {
  for (const std::string& relative : directories) {
    int error_number = 0;
    const UniqueFd directory = open_directory(relative, &error_number);
    if (directory) {
      sync_directory(directory.get(), relative);
    } else if (!is_absent(error_number)) {
      throw Error::from_errno(error_number,
                              "cannot open " + relative + " in " + traits().description);
    }
  }
}

// Of a regular file, not of what a symbolic link points to; nothing when there is none.
std::optional<struct stat> LocalStorage::status_at(const std::string& path) {
  struct stat status{};
  if (::fstatat(root(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (is_absent(errno)) {
      return std::nullopt;
    }
    throw Error::from_errno(errno,
                            "cannot look at " + printable(path) + " in " + traits().description);
  }
  return S_ISREG(status.st_mode) ? std::optional(status) : std::nullopt;
}

std::optional<std::chrono::seconds> LocalStorage::newest_lock(const Context& context) {
  std::optional<std::chrono::seconds> newest;
  for (const std::string& file : read_directory(context, "locks").files) {
    if (is_object_name(ObjectKind::kLock, file)) {
      if (const auto status = status_at(below("locks", file))) {
        newest = std::max(newest.value_or(std::chrono::seconds::min()),
                          std::chrono::seconds(status->st_mtim.tv_sec));
      }
    }
  }
  return newest;
}

// All that puts may have written to.
std::vector<std::string> LocalStorage::directories_with_objects(const Context& context) {
  std::vector<std::string> directories = {".", "index", "keys", "locks", "snapshots"};
  for (const std::string& name : read_directory(context, "data").directories) {
    directories.push_back(below("data", name));
  }
  constexpr ptrdiff_t kMaxDepth = 64;  // symbolic links may make a circle
  std::vector<std::string> deeper = {"salvor"};
  while (!deeper.empty()) {
    const std::string directory = std::move(deeper.back());
    deeper.pop_back();
    for (const std::string& name : read_directory(context, directory).directories) {
      const std::string path = below(directory, name);
      if (name_of_path(ObjectKind::kSalvor, path) && std::ranges::count(path, '/') <= kMaxDepth) {
        deeper.push_back(path);
      }
    }
    directories.push_back(directory);
  }
  return directories;
}

std::vector<Leftover> LocalStorage::leftovers(const Context& context, std::chrono::seconds age) {
  std::vector<Leftover> found;
  const std::optional<std::chrono::seconds> now = newest_lock(context);
  if (!now) {
    return found;
  }
  for (const std::string& directory : directories_with_objects(context)) {
    for (const std::string& file : read_directory(context, directory).files) {
      const std::string path = directory == "." ? file : below(directory, file);
      if (!is_leftover_path(path)) {
        continue;
      }
      const auto status = status_at(path);
      if (status && *now - std::chrono::seconds(status->st_mtim.tv_sec) > age) {
        found.push_back({path, static_cast<uint64_t>(status->st_size)});
      }
    }
  }
  return found;
}

void LocalStorage::remove_leftovers(const Context& context, std::span<const Leftover> leftovers) {
  check_leftovers(leftovers, traits().description);
  std::set<std::string> touched;
  for (const Leftover& leftover : leftovers) {
    context.check_stopped();
    const size_t slash = leftover.path.rfind('/');
    touched.insert(slash == std::string::npos ? "." : leftover.path.substr(0, slash));
    if (calls_.unlink(writable_root(), leftover.path.c_str()) != 0 && !is_absent(errno)) {
      throw Error::from_errno(errno, "cannot remove temporary file " + printable(leftover.path) +
                                         " in " + traits().description);
    }
  }
  sync_directories(touched);
}

std::unique_ptr<Storage> open(const std::string& directory, FileCalls* calls) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(directory, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot resolve " + printable(directory));
  }
  std::string path = absolute.lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return std::make_unique<LocalStorage>(
      std::move(path), calls == nullptr ? std::make_unique<SystemFileCalls>() : nullptr, calls);
}

}  // namespace

std::string local_path(const ObjectName& object) {
  const Path path = path_of(object);
  return path.directory == "." ? path.file : path.directory + "/" + path.file;
}

std::unique_ptr<Storage> open_local_storage(const std::string& directory) {
  return open(directory, nullptr);
}

std::unique_ptr<Storage> open_local_storage(const std::string& directory, FileCalls& calls) {
  return open(directory, &calls);
}

}  // namespace salvor
