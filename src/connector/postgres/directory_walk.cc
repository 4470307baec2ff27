#include "connector/postgres/directory_walk.h"

#include <algorithm>
#include <array>

#include <dirent.h>
#include <fcntl.h>

#include "base/format.h"
#include "connector/postgres/checked_file.h"
#include "connector/postgres/cut_file.h"
#include "connector/postgres/data_directory.h"
#include "connector/postgres/streamed_file.h"

namespace salvor::postgres {
namespace {

// Smaller ones are read here and wait in memory; the engine reads larger ones as soon as it has
// them (FileSaver), which `BackupResults::wait` relies on.
constexpr uint64_t kSmallFile = uint64_t{512} << 10;
constexpr std::chrono::seconds kSettled{2};
constexpr std::array<std::string_view, 10> kEssential{
    "base",        "global",     "pg_xact", "pg_multixact", "pg_commit_ts",
    "pg_twophase", "pg_logical", "pg_stat", "pg_tblspc",    "PG_VERSION"};

std::string child_path(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

// Sorted.
std::vector<std::string> list(int fd, const std::string& location) {
  struct Close {
    void operator()(DIR* stream) const { ::closedir(stream); }
  };
  const std::unique_ptr<DIR, Close> stream(::fdopendir(::fcntl(fd, F_DUPFD_CLOEXEC, 0)));
  if (!stream) {
    throw Error::from_errno(errno, "cannot list " + location);
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) {
        throw Error::from_errno(errno, "cannot list " + location);
      }
      break;
    }
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

DirectoryWalk::DirectoryWalk(const Context& context, TreeSink& sink, WalkOptions options)
    : context_(context),
      sink_(sink),
      options_(std::move(options)),
      pool_("salvor-list", options_.threads),
      group_(pool_, context.stop) {}

void DirectoryWalk::run() {
  const Folder root{"", options_.directory, sink_.root()};
  open_[""] = root.directory;
  group_.run([this, root] { visit(root); });
  group_.wait();
}

void DirectoryWalk::visit(const Folder& folder) {
  if (folder.path == "pg_wal") {
    visit_wal(folder);
    return;
  }
  if (!is_emptied(folder.path)) {
    const UniqueFd fd(::open(folder.location.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd) {
      visit_entries(folder, fd.get());
    } else if (errno != ENOENT) {  // a database may be dropped at any moment
      throw Error::from_errno(errno, "cannot open " + folder.location);
    }
  }
  if (!folder.path.empty() && folder.path != "global") {
    sink_.close_directory(folder.directory);
  }
}

void DirectoryWalk::visit_entries(const Folder& folder, int fd) {
  MetadataReader metadata(false);
  const std::vector<std::string> names = list(fd, folder.location);
  const bool in_database = is_database_directory(folder.path);
  const DatabaseFilter filter(in_database ? names : std::vector<std::string>());
  for (const std::string& name : names) {
    if (is_left_out(name) || (in_database && filter.leaves_out(name)) ||
        (folder.path == "global" && name == "pg_control")) {
      continue;
    }
    struct stat status{};
    if (::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) {
        continue;
      }
      throw Error::from_errno(errno, "cannot look at " + folder.location + "/" + name);
    }
    if (S_ISDIR(status.st_mode)) {
      enter(folder, name, status, folder.location + "/" + name, metadata);
    } else if (S_ISREG(status.st_mode)) {
      file(folder, fd, name, metadata);
    } else if (S_ISLNK(status.st_mode)) {
      link(folder, name, metadata);
    }  // sockets and the like are nobody's data
  }
}

// Only what the server expects to find.
void DirectoryWalk::visit_wal(const Folder& folder) {
  MetadataReader metadata(false);
  for (const char* name : {"archive_status", "summaries"}) {
    struct stat status{};
    const std::string location = folder.location + "/" + name;
    if (::stat(location.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      TreeSink::Directory* directory =
          sink_.open_directory(folder.directory, metadata.node_from_stat(name, status));
      const std::scoped_lock lock(mutex_);
      open_[child_path(folder.path, name)] = directory;
    }
  }
}

void DirectoryWalk::enter(const Folder& parent, const std::string& name, const struct stat& status,
                          const std::string& location, MetadataReader& metadata) {
  const std::string path = child_path(parent.path, name);
  const bool in_tablespace =
      parent.path.starts_with("pg_tblspc/") && parent.path.find('/') == parent.path.rfind('/');
  if (in_tablespace && name != options_.version_directory) {
    return;  // another server's
  }
  Folder folder{path, location,
                sink_.open_directory(parent.directory, metadata.node_from_stat(name, status))};
  if (path == "global" || path == "pg_wal") {
    const std::scoped_lock lock(mutex_);
    open_[path] = folder.directory;
  }
  group_.run([this, folder = std::move(folder)] { visit(folder); });
}

void DirectoryWalk::link(const Folder& folder, const std::string& name, MetadataReader& metadata) {
  const std::string location = folder.location + "/" + name;
  const std::string path = child_path(folder.path, name);
  struct stat status{};
  const bool leads = ::stat(location.c_str(), &status) == 0;
  if (path == "pg_wal" || folder.path == "pg_tblspc") {
    if (!leads || !S_ISDIR(status.st_mode)) {
      throw Error(ErrorCode::kFailed, location + " does not lead to a directory",
                  "The server could not use it either; look what has become of it.");
    }
    enter(folder, name, status, location, metadata);
    return;
  }
  if (folder.path.empty() &&
      std::find(kEssential.begin(), kEssential.end(), name) != kEssential.end()) {
    throw Error(ErrorCode::kFailed, location + " is a symbolic link",
                "PostgreSQL expects links only for tablespaces and pg_wal, and its own backups "
                "leave others out. Use tablespaces, or mount the place instead.");
  }
  context_.events.on(Warning{location + " is a symbolic link and is left out",
                             "As in PostgreSQL's own backups. Back up what it leads to as files."});
}

// Whether the earlier backup's content is this file's: see directory_source.h.
bool DirectoryWalk::take_over(const std::string& path, Node& node) const {
  if (options_.known == nullptr || has_turn(path, *options_.earlier)) {
    return false;
  }
  const std::optional<WallTime>& read_since = options_.earlier->facts.read_since;
  const Node* old = options_.earlier->files->find(path);
  const auto known = options_.known->find(path);
  if (old == nullptr || known == options_.known->end() || node.inode == 0 || !read_since) {
    return false;
  }
  const WallTime settled = *read_since - kSettled;
  if (old->inode != node.inode || old->device_id != node.device_id || old->size != node.size ||
      known->second.size != node.size || !old->mtime.same_instant(node.mtime) ||
      !old->ctime.same_instant(node.ctime) || node.mtime.wall() >= settled ||
      node.ctime.wall() >= settled) {
    return false;
  }
  node.content = old->content;
  return true;
}

void DirectoryWalk::note(const std::string& path, const Node& node) {
  options_.results->expect(path);
  const std::scoped_lock lock(mutex_);
  files_.push_back({path, node.mtime});
}

void DirectoryWalk::file(const Folder& folder, int folder_fd, const std::string& name,
                         MetadataReader& metadata) {
  context_.check_stopped();
  const std::string path = child_path(folder.path, name);
  UniqueFd fd(::openat(folder_fd, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    if (errno == ENOENT) {
      return;
    }
    throw Error::from_errno(errno, "cannot open " + folder.location + "/" + name);
  }
  Node node = metadata.node_from_stat(name, status);
  note(path, node);
  if (take_over(path, node)) {
    options_.results->set(path, options_.known->at(path));
    ++taken_over_;
    sink_.add_stored(folder.directory, std::move(node));
    return;
  }
  const uint64_t size = node.size;
  std::shared_ptr<FileOpener> opener = std::make_shared<CheckedFile>(
      std::move(fd),
      CheckedFileOptions{
          .path = path, .size = size, .check_pages = options_.check_pages, .start = options_.start},
      options_.results);
  if (size < kSmallFile) {
    MemoryBudget::Lease lease = options_.budget.acquire(size, group_.stop_token());
    Buffer content(size);
    const std::unique_ptr<ByteReader> reader = opener->open(node);
    for (size_t have = 0; have < size;) {
      have += reader->read(content.bytes().subspan(have));
    }
    opener = std::make_shared<BufferedFile>("/" + path, std::move(content), std::move(lease));
  }
  sink_.add_file(folder.directory, std::move(node),
                 cut_relation(std::move(opener), path, size, options_.cell, options_.earlier));
}

}  // namespace salvor::postgres
