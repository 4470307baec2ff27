#include "connector/files/metadata.h"

#include <cerrno>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "connector/files/xattr.h"

namespace salvor {
namespace {

// getpwuid_r and getgrgid_r want a buffer whose size nobody knows.
template <class Entry, class Lookup>
std::string account_name(const Lookup& lookup, char* Entry::* name) {
  std::string buffer(1024, '\0');
  constexpr size_t kLargest = 1 << 20;
  for (;;) {
    Entry entry{};
    Entry* found = nullptr;
    const int error = lookup(&entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) {
      continue;
    }
    if (error == ERANGE && buffer.size() < kLargest) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    return found != nullptr ? std::string(entry.*name) : std::string();
  }
}

}  // namespace

const std::string& AccountNames::user(uint32_t uid) {
  const auto [at, added] = users_.try_emplace(uid);
  if (added) {
    at->second = account_name<passwd>(
        [&](auto... arguments) { return getpwuid_r(uid, arguments...); }, &passwd::pw_name);
  }
  return at->second;
}

const std::string& AccountNames::group(uint32_t gid) {
  const auto [at, added] = groups_.try_emplace(gid);
  if (added) {
    at->second = account_name<::group>(
        [&](auto... arguments) { return getgrgid_r(gid, arguments...); }, &::group::gr_name);
  }
  return at->second;
}

NodeType node_type_from_unix(uint32_t st_mode) {
  switch (st_mode & S_IFMT) {
    case S_IFREG:
      return NodeType::kFile;
    case S_IFDIR:
      return NodeType::kDir;
    case S_IFLNK:
      return NodeType::kSymlink;
    case S_IFBLK:
      return NodeType::kDevice;
    case S_IFCHR:
      return NodeType::kCharDevice;
    case S_IFIFO:
      return NodeType::kFifo;
    case S_IFSOCK:
      return NodeType::kSocket;
    default:
      return NodeType::kOther;
  }
}

Node MetadataReader::node_from_stat(std::string name, const struct stat& stat) {
  const auto stamp = [&](const timespec& time) {
    return zone_.stamp(time.tv_sec, static_cast<uint32_t>(time.tv_nsec));
  };
  Node node;
  node.name = std::move(name);
  node.type = node_type_from_unix(stat.st_mode);
  node.mode = go_mode_from_unix(stat.st_mode);
  node.mtime = stamp(stat.st_mtim);
  node.atime = with_atime_ ? stamp(stat.st_atim) : node.mtime;
  node.ctime = stamp(stat.st_ctim);
  node.uid = stat.st_uid;
  node.gid = stat.st_gid;
  node.user = accounts_.user(stat.st_uid);
  node.group = accounts_.group(stat.st_gid);
  node.inode = stat.st_ino;
  node.device_id = stat.st_dev;
  switch (node.type) {
    case NodeType::kFile:
      node.size = static_cast<uint64_t>(stat.st_size);
      node.links = stat.st_nlink;
      break;
    case NodeType::kSymlink:
      node.links = stat.st_nlink;
      break;
    case NodeType::kDevice:
    case NodeType::kCharDevice:
      node.device = stat.st_rdev;
      node.links = stat.st_nlink;
      break;
    default:
      break;
  }
  return node;
}

std::optional<Error> MetadataReader::read_extended_attributes(Node& node, int fd,
                                                              const char* entry) {
  std::optional<Error> failure = read_attributes_found(node, fd, entry);
  if (failure && node.type == NodeType::kFile) {
    node.error = "incomplete metadata: " + failure->message();
  }
  return failure;
}

std::optional<Error> MetadataReader::read_attributes_found(Node& node, int fd, const char* entry) {
  node.extended_attributes.clear();
  if (const int error = list_xattrs(fd, entry, names_, scratch_); error != 0) {
    return Error::from_errno(error, "cannot list extended attributes");
  }
  std::optional<Error> failure;
  for (const std::string& name : names_) {
    std::string value;
    const int error = get_xattr(fd, entry, name, value, scratch_);
    if (error == 0 || error == ENODATA || error == ENOTSUP) {
      // restic stores an attribute that vanished meanwhile, or has no value to show, as empty.
      node.extended_attributes.push_back({name, std::move(value)});
    } else if (!failure) {
      failure = Error::from_errno(error, "cannot read extended attribute " + name);
    }
  }
  return failure;
}

int MetadataReader::read_link_target(Node& node, int fd, const char* entry) {
  if (scratch_.size() < 4096) {
    scratch_.resize(4096);
  }
  for (;;) {
    const ssize_t got =
        readlinkat(fd, entry, reinterpret_cast<char*>(scratch_.data()), scratch_.size());
    if (got < 0) {
      return errno;
    }
    if (static_cast<size_t>(got) < scratch_.size()) {
      node.link_target = as_text(scratch_.view(0, static_cast<size_t>(got)));
      return 0;
    }
    scratch_.resize(scratch_.size() * 2);
  }
}

}  // namespace salvor
