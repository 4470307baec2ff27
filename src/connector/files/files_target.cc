#include "connector/files/files_target.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "connector/files/file_opener.h"
#include "connector/files/xattr.h"
#include "model/text_file.h"

namespace salvor {
namespace {

constexpr mode_t kPrivate = 0700;

[[noreturn]] void fail(const char* what) {
  throw Error::from_errno(errno, what);
}

timespec to_timespec(const Timestamp& time) {
  return {.tv_sec = time.seconds, .tv_nsec = static_cast<long>(time.nanoseconds)};
}

bool same_time(const Timestamp& stored, const timespec& now) {
  return stored.seconds == now.tv_sec && stored.nanoseconds == static_cast<uint32_t>(now.tv_nsec);
}

// chmod of an entry without following links: fchmodat2 (Linux 6.6), before that through /proc.
int change_mode_at(int directory, const char* name, mode_t mode) {
  constexpr long kFchmodat2 = 452;
  if (syscall(kFchmodat2, directory, name, mode, AT_SYMLINK_NOFOLLOW) == 0) {
    return 0;
  }
  if (errno != ENOSYS && errno != EPERM) {
    return errno;
  }
  const UniqueFd path(openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat stat{};
  if (!path || fstat(path.get(), &stat) != 0) {
    return errno;
  }
  if (S_ISLNK(stat.st_mode)) {
    return EOPNOTSUPP;
  }
  std::array<char, 40> proc{};
  std::snprintf(proc.data(), proc.size(), "/proc/self/fd/%d", path.get());
  return chmod(proc.data(), mode) == 0 ? 0 : errno;
}

template <class Entry, class Lookup>
std::optional<uint32_t> account_id(const std::string& name, const Lookup& lookup) {
  std::string buffer(4096, '\0');
  constexpr size_t kLargest = 1 << 20;
  Entry entry{};
  Entry* found = nullptr;
  while (lookup(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE &&
         buffer.size() < kLargest) {
    buffer.resize(buffer.size() * 4);
  }
  if (found == nullptr) {
    return std::nullopt;
  }
  if constexpr (std::is_same_v<Entry, passwd>) {
    return found->pw_uid;
  } else {
    return found->gr_gid;
  }
}

}  // namespace

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

struct FilesTarget::Place {
  int fd;
  const char* name;  // null: fd itself
};

FilesTarget::FilesTarget(FilesTargetOptions options)
    : options_(std::move(options)),
      privileged_(geteuid() == 0),
      budget_(std::make_shared<DescriptorBudget>(DescriptorBudget::sensible_limit())) {}

std::shared_ptr<DirectoryHandle> FilesTarget::open_root(const std::string& path, bool create) {
  const std::string cleaned = clean_path(path);
  UniqueFd fd = open_directory_path(cleaned);
  if (!fd && errno == ENOENT && create) {
    // Each missing parent in turn; plain mkdir, because the path is the user's own.
    size_t at = 0;
    while (at < cleaned.size()) {
      at = std::min(cleaned.find('/', at + 1), cleaned.size());
      if (mkdir(cleaned.substr(0, at).c_str(), kPrivate) != 0 && errno != EEXIST &&
          errno != EISDIR) {
        throw Error::from_errno(errno,
                                "cannot create the target directory " + cleaned.substr(0, at));
      }
    }
    fd = open_directory_path(cleaned);
  }
  if (!fd && errno == ENOENT && !create) {
    return nullptr;
  }
  if (!fd) {
    throw Error::from_errno(errno, "cannot open the target directory " + cleaned);
  }
  std::shared_ptr<DirectoryHandle> root = DirectoryHandle::anchor(cleaned, budget_);
  static_cast<void>(root->open());
  return root;
}

FilesTarget::Directory FilesTarget::make_directory(const std::shared_ptr<DirectoryHandle>& parent,
                                                   const std::string& name) {
  const SharedFd above = parent->open();
  Directory made;
  made.created = mkdirat(above->get(), name.c_str(), kPrivate) == 0;
  if (!made.created && errno != EEXIST) {
    fail("cannot create directory");
  }
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  UniqueFd fd(openat(above->get(), name.c_str(), kFlags));
  if (!fd && !made.created && (errno == ENOTDIR || errno == ELOOP)) {
    clear_way(above->get(), name);
    made.created = mkdirat(above->get(), name.c_str(), kPrivate) == 0;
    fd = UniqueFd(openat(above->get(), name.c_str(), kFlags));
  }
  if (!fd && errno == EACCES && change_mode_at(above->get(), name.c_str(), kPrivate) == 0) {
    fd = UniqueFd(openat(above->get(), name.c_str(), kFlags));  // ours, but closed to ourselves
  }
  if (!fd) {
    fail("cannot open directory");
  }
  if (!made.created && !privileged_) {
    struct stat stat{};
    if (fstat(fd.get(), &stat) == 0 && (stat.st_mode & kPrivate) != kPrivate) {
      // Its real mode comes back with its metadata. Failing here shows in the first file.
      static_cast<void>(fchmod(fd.get(), (stat.st_mode & 07777) | kPrivate));
    }
  }
  made.handle = DirectoryHandle::child(parent, name, std::move(fd), budget_);
  made.handle->release();
  return made;
}

std::shared_ptr<DirectoryHandle> FilesTarget::find_directory(
    const std::shared_ptr<DirectoryHandle>& parent, const std::string& name) {
  const SharedFd above = parent->open();
  UniqueFd fd(openat(above->get(), name.c_str(),
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    return nullptr;
  }
  std::shared_ptr<DirectoryHandle> handle =
      DirectoryHandle::child(parent, name, std::move(fd), budget_);
  handle->release();
  return handle;
}

std::optional<struct stat> FilesTarget::look(int directory, const std::string& name) {
  struct stat stat{};
  if (fstatat(directory, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0) {
    return stat;
  }
  if (errno == ENOENT) {
    return std::nullopt;
  }
  fail("cannot look at it");
}

void FilesTarget::clear_way(int directory, const std::string& name) {
  if (unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT) {
    return;
  }
  if (errno != EISDIR && errno != EPERM) {
    fail("cannot remove what is in the way");
  }
  if (options_.replace_full_directories) {
    remove_tree(directory, name);
    return;
  }
  if (unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    if (errno == ENOTEMPTY || errno == EEXIST) {
      throw Error(ErrorCode::kFailed, "a directory that is not empty is in the way",
                  "Move it away, restore to another place, or use --delete.");
    }
    fail("cannot remove the directory that is in the way");
  }
}

UniqueFd FilesTarget::create_file(int directory, const std::string& name) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  constexpr int kAttempts = 4;  // somebody else may be creating the same name
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    UniqueFd fd(openat(directory, name.c_str(), kFlags, 0600));
    if (fd) {
      return fd;
    }
    if (errno != EEXIST) {
      fail("cannot create the file");
    }
    clear_way(directory, name);
  }
  fail("cannot create the file");
}

UniqueFd FilesTarget::open_existing(int directory, const std::string& name, Purpose purpose,
                                    const struct stat& expected) {
  // Looking must not leave a trace in the access time, or comparing would itself be a change.
  const auto open = [&] {
    constexpr int kWriting = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    return purpose == Purpose::kWriting ? UniqueFd(openat(directory, name.c_str(), kWriting))
                                        : open_quietly(directory, name.c_str(), O_RDONLY);
  };
  UniqueFd fd = open();
  if (!fd && errno == EACCES && purpose != Purpose::kLooking &&
      change_mode_at(directory, name.c_str(), (expected.st_mode & 07777) | 0600) == 0) {
    fd = open();  // closed even to its owner, who we are
  }
  struct stat stat{};
  const bool same = fd && fstat(fd.get(), &stat) == 0 && S_ISREG(stat.st_mode) &&
                    stat.st_ino == expected.st_ino && stat.st_dev == expected.st_dev;
  return same ? std::move(fd) : UniqueFd();
}

void FilesTarget::make_special(int directory, const Node& node) {
  const auto make = [&]() -> int {
    const char* const name = node.name.c_str();
    switch (node.type) {
      case NodeType::kSymlink:
        return symlinkat(node.link_target.c_str(), directory, name);
      case NodeType::kFifo:
        return mknodat(directory, name, S_IFIFO | 0600, 0);
      case NodeType::kDevice:
        return mknodat(directory, name, S_IFBLK | 0600, node.device);
      case NodeType::kCharDevice:
        return mknodat(directory, name, S_IFCHR | 0600, node.device);
      default:
        throw Error(ErrorCode::kFailed,
                    "entries of type \"" + node.other_type + "\" cannot be restored");
    }
  };
  if (make() == 0) {
    return;
  }
  if (errno == EEXIST) {
    clear_way(directory, node.name);
    if (make() == 0) {
      return;
    }
  }
  fail("cannot create it");
}

void FilesTarget::make_link(int from_directory, const std::string& from, int directory,
                            const std::string& name) {
  if (linkat(from_directory, from.c_str(), directory, name.c_str(), 0) == 0) {
    return;
  }
  if (errno == EEXIST) {
    const std::optional<struct stat> first = look(from_directory, from);
    const std::optional<struct stat> second = look(directory, name);
    if (first && second && first->st_ino == second->st_ino && first->st_dev == second->st_dev) {
      return;  // linked already
    }
    clear_way(directory, name);
    if (linkat(from_directory, from.c_str(), directory, name.c_str(), 0) == 0) {
      return;
    }
  }
  fail("cannot create the hard link");
}

void FilesTarget::remove_tree(int directory, const std::string& name,
                              const std::function<void(const std::string& below)>& removed) {
  struct Level {
    std::string name;
    UniqueFd fd;
    Listing names;
    size_t next = 0;
    size_t path_length = 0;
  };
  const auto report = [&](const std::string& path) {
    if (removed) {
      removed(path);
    }
  };
  if (unlinkat(directory, name.c_str(), 0) == 0) {
    report({});
    return;
  }
  if (errno != EISDIR && errno != EPERM) {
    if (errno == ENOENT) {
      return;
    }
    fail("cannot remove it");
  }
  constexpr size_t kDeepest = 4096;  // each level holds a descriptor
  std::vector<Level> levels;
  std::string path;
  const auto enter = [&](int parent, const std::string& entry, size_t path_length) {
    if (levels.size() == kDeepest) {
      throw Error(ErrorCode::kFailed, "cannot remove it: directories are nested too deeply");
    }
    Level level{.name = entry, .fd = {}, .names = {}, .next = 0, .path_length = path_length};
    level.fd =
        UniqueFd(openat(parent, entry.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!level.fd || level.names.read(level.fd.get()) != 0) {
      fail("cannot open a directory to remove it");
    }
    levels.push_back(std::move(level));
  };
  enter(directory, name, 0);
  while (!levels.empty()) {
    Level& top = levels.back();
    path.resize(top.path_length);
    if (top.next == top.names.size()) {
      const int parent = levels.size() > 1 ? levels[levels.size() - 2].fd.get() : directory;
      if (unlinkat(parent, top.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        fail("cannot remove a directory");
      }
      report(path);
      levels.pop_back();
      continue;
    }
    const std::string entry(top.names.name(top.next++));
    path += (path.empty() ? "" : "/") + entry;
    if (unlinkat(top.fd.get(), entry.c_str(), 0) == 0) {
      report(path);
    } else if (errno == EISDIR || errno == EPERM) {
      enter(top.fd.get(), entry, path.size());
    } else if (errno != ENOENT) {
      fail("cannot remove something in it");
    }
  }
}

// ---- metadata
// ------------------------------------------------------------------------------------

// What an ordinary user may not do is not an error of the restore, as in restic; it is counted.
void FilesTarget::check(int error, const char* what) {
  if (error == 0) {
    return;
  }
  if (!privileged_ && (error == EPERM || error == EACCES)) {
    ++not_permitted_;
    return;
  }
  throw Error::from_errno(error, what);
}

uint32_t FilesTarget::owner_id(const Node& node, bool group) {
  const std::string& name = group ? node.group : node.user;
  const uint32_t number = group ? node.gid : node.uid;
  if (!options_.ownership_by_name || name.empty()) {
    return number;
  }
  const std::scoped_lock lock(accounts_mutex_);
  const auto [at, added] = (group ? groups_ : users_).try_emplace(name);
  if (added) {
    at->second =
        group ? account_id<::group>(name, getgrnam_r) : account_id<passwd>(name, getpwnam_r);
  }
  return at->second.value_or(number);
}

void FilesTarget::apply_owner(const Place& place, const Node& node, const struct stat* now) {
  const uint32_t uid = owner_id(node, false);
  const uint32_t gid = owner_id(node, true);
  if (now != nullptr && now->st_uid == uid && now->st_gid == gid) {
    return;
  }
  const int done = place.name == nullptr
                       ? fchown(place.fd, uid, gid)
                       : fchownat(place.fd, place.name, uid, gid, AT_SYMLINK_NOFOLLOW);
  check(done == 0 ? 0 : errno, "cannot restore the owner");
}

void FilesTarget::apply_attributes(const Place& place, const Node& node, bool may_have) {
  if (node.extended_attributes.empty() && !may_have) {
    return;
  }
  const auto wanted = [&](const std::string& name) {
    return !options_.attribute_wanted || options_.attribute_wanted(name);
  };
  Buffer scratch;
  std::vector<std::string> present;
  if (may_have) {
    check(list_xattrs(place.fd, place.name, present, scratch), "cannot list extended attributes");
  }
  for (const ExtendedAttribute& attribute : node.extended_attributes) {
    if (!wanted(attribute.name)) {
      continue;
    }
    const auto found = std::find(present.begin(), present.end(), attribute.name);
    if (found != present.end()) {
      present.erase(found);
      std::string value;
      if (get_xattr(place.fd, place.name, attribute.name, value, scratch) == 0 &&
          value == attribute.value) {
        continue;
      }
    }
    const int error = set_xattr(place.fd, place.name, attribute.name, attribute.value);
    check(error, ("cannot restore extended attribute " + attribute.name).c_str());
  }
  for (const std::string& name : present) {
    if (wanted(name)) {
      const int error = remove_xattr(place.fd, place.name, name);
      // Labels of security modules belong to the machine when the snapshot has none.
      const bool label = name.starts_with("security.") && (error == EPERM || error == EACCES);
      check(error == ENODATA || label ? 0 : error,
            ("cannot remove extended attribute " + name).c_str());
    }
  }
}

void FilesTarget::apply_times(const Place& place, const Node& node, const struct stat* now) {
  if (now != nullptr && same_time(node.mtime, now->st_mtim) &&
      same_time(node.atime, now->st_atim)) {
    return;
  }
  const timespec times[2] = {to_timespec(node.atime), to_timespec(node.mtime)};
  const int done = place.name == nullptr
                       ? futimens(place.fd, times)
                       : utimensat(place.fd, place.name, times, AT_SYMLINK_NOFOLLOW);
  check(done == 0 ? 0 : errno, "cannot restore the times");
}

void FilesTarget::apply_mode(const Place& place, const Node& node, const struct stat* now) {
  if (node.type == NodeType::kSymlink) {
    return;  // Linux has no modes for them
  }
  const mode_t mode = unix_permissions_from_go(node.mode);
  if (now != nullptr && (now->st_mode & 07777) == mode) {
    return;
  }
  const int error = place.name == nullptr ? (fchmod(place.fd, mode) == 0 ? 0 : errno)
                                          : change_mode_at(place.fd, place.name, mode);
  check(error, "cannot restore the mode");
}

// Every part is attempted, and the first failure reported.
void FilesTarget::apply_to(const Place& place, const Node& node, const Present& present) {
  std::optional<Error> failure;
  const auto attempt = [&](const auto& part) {
    try {
      part();
    } catch (const Error& error) {
      if (!failure) {
        failure = error;
      }
    }
  };
  bool owner_changed = true;
  if (present.now != nullptr) {
    owner_changed =
        present.now->st_uid != owner_id(node, false) || present.now->st_gid != owner_id(node, true);
  }
  attempt([&] { apply_owner(place, node, present.now); });
  attempt([&] { apply_attributes(place, node, present.may_have_attributes); });
  attempt([&] { apply_times(place, node, present.now); });
  // A change of owner clears set-id bits, and setting an ACL changes the mode.
  const bool mode_known = !owner_changed && node.extended_attributes.empty();
  attempt([&] { apply_mode(place, node, mode_known ? present.now : nullptr); });
  if (failure) {
    throw *failure;
  }
}

void FilesTarget::apply(int fd, const Node& node, const Present& present) {
  apply_to({fd, nullptr}, node, present);
}

void FilesTarget::apply_at(int directory, const Node& node, const Present& present) {
  apply_to({directory, node.name.c_str()}, node, present);
}

bool FilesTarget::passes_on_attributes(int directory) {
  Buffer scratch;
  std::vector<std::string> names;
  if (list_xattrs(directory, nullptr, names, scratch) != 0) {
    return true;
  }
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "system.posix_acl_default" || name.starts_with("security.");
  });
}

}  // namespace salvor
