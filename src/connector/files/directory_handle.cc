#include "connector/files/directory_handle.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/syscall.h>

namespace salvor {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK;
constexpr int kEnterFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;  // needs no right to read
// Below PATH_MAX, which counts the final NUL.
constexpr size_t kLongestPath = 4000;

// `path` cut into pieces that the kernel accepts, each ending at a component's end.
std::vector<std::string> split_long_path(const std::string& path) {
  std::vector<std::string> pieces;
  size_t at = 0;
  while (path.size() - at > kLongestPath) {
    const size_t slash = path.rfind('/', at + kLongestPath);
    if (slash == std::string::npos || slash <= at) {
      break;  // one component longer than a path may be: the kernel will refuse it
    }
    pieces.push_back(path.substr(at, slash - at));
    at = slash + 1;
  }
  pieces.push_back(path.substr(at));
  return pieces;
}

// The next piece of a path, from where the one before it led to (none: the working directory).
UniqueFd open_piece(const UniqueFd& from, const std::string& piece, int flags) {
  return UniqueFd(openat(from ? from.get() : AT_FDCWD, piece.empty() ? "/" : piece.c_str(), flags));
}

int open_component_wise(int directory, const std::string& relative) {
  UniqueFd current;
  size_t at = 0;
  while (at <= relative.size()) {
    const size_t slash = std::min(relative.find('/', at), relative.size());
    const std::string component = relative.substr(at, slash - at);
    if (component.empty() || component == "..") {
      errno = EXDEV;
      return -1;
    }
    const int from = current ? current.get() : directory;
    UniqueFd next(openat(from, component.c_str(), kDirectoryFlags | O_NOFOLLOW));
    if (!next) {
      return -1;
    }
    current = std::move(next);
    at = slash + 1;
  }
  return current.release();
}

int open_piece_beneath(int directory, const std::string& piece) {
  open_how how{};
  how.flags = kDirectoryFlags | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  for (int attempt = 0;; ++attempt) {
    const long fd = syscall(SYS_openat2, directory, piece.c_str(), &how, sizeof how);
    if (fd >= 0) {
      return static_cast<int>(fd);
    }
    // EAGAIN: something on the way was being renamed. EPERM comes from old container filters.
    constexpr int kAttempts = 100;
    if (errno == EAGAIN && attempt < kAttempts) {
      continue;
    }
    if (errno == ENOSYS || errno == EPERM || errno == EAGAIN) {
      return open_component_wise(directory, piece);
    }
    return -1;
  }
}

}  // namespace

bool DescriptorBudget::try_take() {
  if (used_.fetch_add(1, std::memory_order_relaxed) < limit_) {
    return true;
  }
  give_back();
  return false;
}

int DescriptorBudget::sensible_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return 1024;
  }
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur / 4, 4096));
}

UniqueFd open_directory_beneath(int directory, const std::string& relative) {
  UniqueFd current;
  for (const std::string& piece : split_long_path(relative)) {
    UniqueFd next(open_piece_beneath(current ? current.get() : directory, piece));
    if (!next) {
      return {};
    }
    current = std::move(next);
  }
  return current;
}

UniqueFd open_directory_path(const std::string& path) {
  UniqueFd current;
  const std::vector<std::string> pieces = split_long_path(path);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int flags = i + 1 < pieces.size() ? kEnterFlags : kDirectoryFlags;
    current = open_piece(current, pieces[i], flags);
    if (!current) {
      return {};
    }
  }
  return current;
}

UniqueFd enter_directory_path(const std::string& path) {
  UniqueFd fd = open_directory_path(path);
  if (fd || errno != EACCES) {
    return fd;
  }
  for (const std::string& piece : split_long_path(path)) {
    fd = open_piece(fd, piece, kEnterFlags);
    if (!fd) {
      return {};
    }
  }
  return fd;
}

std::shared_ptr<DirectoryHandle> DirectoryHandle::anchor(std::string path,
                                                         std::shared_ptr<DescriptorBudget> budget) {
  return std::shared_ptr<DirectoryHandle>(
      new DirectoryHandle(nullptr, std::move(path), std::move(budget)));
}

std::shared_ptr<DirectoryHandle> DirectoryHandle::child(std::shared_ptr<DirectoryHandle> parent,
                                                        std::string name, UniqueFd fd,
                                                        std::shared_ptr<DescriptorBudget> budget) {
  std::shared_ptr<DirectoryHandle> handle(
      new DirectoryHandle(std::move(parent), std::move(name), std::move(budget)));
  handle->fd_ = std::make_shared<const UniqueFd>(std::move(fd));
  return handle;
}

DirectoryHandle::~DirectoryHandle() {
  if (budgeted_) {
    budget_->give_back();
  }
  // A chain of 100,000 directories must not be destroyed by 100,000 nested calls.
  std::shared_ptr<DirectoryHandle> next = std::move(parent_);
  while (next && next.use_count() == 1) {
    std::shared_ptr<DirectoryHandle> parent = std::move(next->parent_);
    next = std::move(parent);
  }
}

SharedFd DirectoryHandle::current() const {
  const std::scoped_lock lock(mutex_);
  return fd_;
}

SharedFd DirectoryHandle::open() {
  if (SharedFd fd = current()) {
    return fd;
  }
  UniqueFd opened = reopen();
  if (!opened) {
    throw Error::from_errno(errno, "cannot open directory " + path());
  }
  auto shared = std::make_shared<const UniqueFd>(std::move(opened));
  const std::scoped_lock lock(mutex_);
  if (!fd_ && !budgeted_ && budget_->try_take()) {
    budgeted_ = true;
    fd_ = shared;
  }
  return shared;
}

UniqueFd DirectoryHandle::reopen() const {
  std::vector<const DirectoryHandle*> way{this};
  SharedFd from;
  while (way.back()->parent_ && !from) {
    const DirectoryHandle* parent = way.back()->parent_.get();
    from = parent->current();
    if (!from) {
      way.push_back(parent);
    }
  }
  UniqueFd anchor_fd;
  int start = from ? from->get() : -1;
  if (!from) {
    anchor_fd = enter_directory_path(way.back()->name_);
    way.pop_back();
    if (!anchor_fd || way.empty()) {
      return anchor_fd;
    }
    start = anchor_fd.get();
  }
  std::string relative;
  for (size_t i = way.size(); i-- > 0;) {
    relative += (relative.empty() ? "" : "/") + way[i]->name_;
  }
  return open_directory_beneath(start, relative);
}

void DirectoryHandle::release() {
  const std::scoped_lock lock(mutex_);
  if (!fd_ || budgeted_) {
    return;
  }
  if (budget_->try_take()) {
    budgeted_ = true;
  } else {
    fd_.reset();
  }
}

void DirectoryHandle::drop() {
  const std::scoped_lock lock(mutex_);
  fd_.reset();
  if (budgeted_) {
    budgeted_ = false;
    budget_->give_back();
  }
}

std::string DirectoryHandle::path() const {
  std::vector<const DirectoryHandle*> way;
  for (const DirectoryHandle* at = this; at != nullptr; at = at->parent_.get()) {
    way.push_back(at);
  }
  std::string path = way.back()->name_;
  for (size_t i = way.size() - 1; i-- > 0;) {
    path += (path.ends_with('/') ? "" : "/") + way[i]->name_;
  }
  return path;
}

}  // namespace salvor
