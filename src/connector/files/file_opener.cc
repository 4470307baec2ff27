#include "connector/files/file_opener.h"

#include <cerrno>

#include <fcntl.h>

namespace salvor {
namespace {

std::string join(const DirectoryHandle& directory, const std::string& name) {
  std::string path = directory.path();
  if (!path.ends_with('/')) {
    path += '/';
  }
  return path + name;
}

bool unchanged_since(const Node& node, const struct stat& stat) {
  const auto same = [](const Timestamp& stored, const timespec& now) {
    return stored.seconds == now.tv_sec && stored.nanoseconds == static_cast<uint32_t>(now.tv_nsec);
  };
  return node.inode == stat.st_ino && node.device_id == stat.st_dev &&
         node.size == static_cast<uint64_t>(stat.st_size) && node.links == stat.st_nlink &&
         same(node.ctime, stat.st_ctim) && same(node.mtime, stat.st_mtim);
}

class OpenFile final : public ByteReader {
 public:
  OpenFile(UniqueFd fd, const struct stat& stat, std::shared_ptr<DirectoryHandle> directory,
           std::string name, std::shared_ptr<OpenerSurroundings> surroundings)
      : fd_(std::move(fd)),
        stat_(stat),
        directory_(std::move(directory)),
        name_(std::move(name)),
        surroundings_(std::move(surroundings)) {}

  size_t read(MutableBytes out) override {
    for (;;) {
      const ssize_t got = ::read(fd_.get(), out.data(), out.size());
      if (got >= 0) {
        return static_cast<size_t>(got);
      }
      if (errno != EINTR) {
        throw Error::from_errno(errno, "cannot read " + join(*directory_, name_));
      }
    }
  }

  void refresh(Node& node) override {
    // Any change of metadata, extended attributes included, also changes the ctime.
    const bool same = unchanged_since(node, stat_);
    if (same && !surroundings_->deferred_attributes) {
      return;
    }
    surroundings_->metadata.with([&](MetadataReader& reader) {
      if (!same) {
        Node fresh = reader.node_from_stat(std::move(node.name), stat_);
        fresh.content = std::move(node.content);
        node = std::move(fresh);
      }
      if (std::optional<Error> error = reader.read_extended_attributes(node, fd_.get(), nullptr)) {
        const std::string path = join(*directory_, name_);
        surroundings_->sink.report_unreadable(path,
                                              error->within("incomplete metadata of " + path));
      }
    });
  }

  bool changed_since_refresh() override {
    // Not the ctime: renaming, linking or chmod, as by logrotate, leave the content alone.
    struct stat now{};
    return fstat(fd_.get(), &now) != 0 || now.st_size != stat_.st_size ||
           !same_time(now.st_mtim, stat_.st_mtim);
  }

 private:
  static bool same_time(const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  }

  const UniqueFd fd_;
  const struct stat stat_;
  const std::shared_ptr<DirectoryHandle> directory_;
  const std::string name_;
  const std::shared_ptr<OpenerSurroundings> surroundings_;
};

}  // namespace

std::unique_ptr<MetadataReader> MetadataPool::take() {
  {
    const std::scoped_lock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<MetadataReader> reader = std::move(idle_.back());
      idle_.pop_back();
      return reader;
    }
  }
  return std::make_unique<MetadataReader>(with_atime_);
}

void MetadataPool::put(std::unique_ptr<MetadataReader> reader) {
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(reader));
}

UniqueFd open_quietly(int directory, const char* name, int flags) {
  // O_NONBLOCK: should a fifo stand there now, opening it must not wait for a writer.
  const int quiet = flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  UniqueFd fd(openat(directory, name, quiet | O_NOATIME));
  if (!fd && errno == EPERM) {
    fd = UniqueFd(openat(directory, name, quiet));  // not the owner
  }
  return fd;
}

std::unique_ptr<ByteReader> DirectoryFileOpener::open(const Node& node) {
  const std::string& name = name_of(node);
  const SharedFd directory = directory_->open();
  UniqueFd fd = open_quietly(directory->get(), name.c_str(), O_RDONLY);
  if (!fd && errno == EWOULDBLOCK) {
    // A lease is being broken: waiting for it is right here.
    fd = UniqueFd(openat(directory->get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!fd && (errno == ELOOP || errno == ENXIO)) {
    throw Error(ErrorCode::kFailed, join(*directory_, name) + " is no longer a regular file");
  }
  if (!fd) {
    throw Error::from_errno(errno, "cannot open " + join(*directory_, name));
  }
  struct stat stat{};
  if (fstat(fd.get(), &stat) != 0) {
    throw Error::from_errno(errno, "cannot look at " + join(*directory_, name));
  }
  if (!S_ISREG(stat.st_mode)) {
    throw Error(ErrorCode::kFailed, join(*directory_, name) + " is no longer a regular file");
  }
  constexpr off_t kWorthReadAhead = off_t{1} << 20;
  if (stat.st_size > kWorthReadAhead) {
    posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  return std::make_unique<OpenFile>(std::move(fd), stat, directory_, name, surroundings_);
}

void DirectoryFileOpener::complete(Node& node) {
  if (!surroundings_->deferred_attributes) {
    return;
  }
  const std::string& name = name_of(node);
  const SharedFd directory = directory_->open();
  std::optional<Error> failure = surroundings_->metadata.with([&](MetadataReader& reader) {
    return reader.read_extended_attributes(node, directory->get(), name.c_str());
  });
  if (failure) {
    const std::string path = join(*directory_, name);
    surroundings_->sink.report_unreadable(path, failure->within("incomplete metadata of " + path));
  }
}

std::string DirectoryFileOpener::path_of(const Node& node) const {
  return join(*directory_, name_of(node));
}

}  // namespace salvor
