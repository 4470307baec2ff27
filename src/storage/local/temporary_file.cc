#include "storage/local/temporary_file.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/error.h"

namespace salvor {

bool is_unsupported(int error_number) {
  return error_number == EINVAL || error_number == ENOSYS || error_number == EOPNOTSUPP ||
         error_number == EPERM || error_number == ENOTTY;
}

TemporaryFile::TemporaryFile(FileCalls& calls, Random& random, Place place)
    : calls_(calls), place_(std::move(place)) {
  // More than one attempt is needed only when two processes draw the same number.
  constexpr int kAttempts = 100;
  const mode_t writable = place_.mode | (place_.mode & 0444U) >> 1U;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    name_ = place_.name + "-tmp-" + std::to_string(random.next_u64());
    fd_ = calls_.create_file(place_.directory, name_.c_str(), writable);
    if (fd_ >= 0) {
      return;
    }
    if (errno != EEXIST) {
      break;
    }
  }
  fail(errno);
}

TemporaryFile::~TemporaryFile() {
  if (fd_ >= 0) {
    calls_.close(fd_);
  }
  discard();
}

void TemporaryFile::fail(int error_number) const {
  throw Error::from_errno(error_number, place_.what);
}

// Nothing more can be done about a failure here; everyone ignores the left-over.
void TemporaryFile::discard() {
  if (std::exchange(present_, false)) {
    calls_.unlink(place_.directory, name_.c_str());
  }
}

void TemporaryFile::write(std::span<const ByteView> parts) {
  std::vector<iovec> vectors;
  vectors.reserve(parts.size());
  for (const ByteView part : parts) {
    if (!part.empty()) {
      vectors.push_back({const_cast<std::byte*>(part.data()), part.size()});
    }
  }
  off_t offset = 0;
  for (size_t next = 0; next < vectors.size();) {
    const int count = static_cast<int>(std::min<size_t>(vectors.size() - next, IOV_MAX));
    const ssize_t written = calls_.write_at(fd_, &vectors[next], count, offset);
    if (written <= 0) {
      if (written < 0 && errno == EINTR) {
        continue;
      }
      fail(written < 0 ? errno : EIO);
    }
    offset += written;
    auto rest = static_cast<size_t>(written);
    while (next < vectors.size() && rest >= vectors[next].iov_len) {
      rest -= vectors[next].iov_len;
      ++next;
    }
    if (rest > 0) {
      vectors[next].iov_base = static_cast<std::byte*>(vectors[next].iov_base) + rest;
      vectors[next].iov_len -= rest;
    }
  }
}

void TemporaryFile::finish() {
  // Some file systems (FAT, SMB, FUSE) have no modes; that does not make the object worse.
  if (calls_.change_mode(fd_, place_.mode) != 0 && !is_unsupported(errno)) {
    fail(errno);
  }
  if (calls_.sync(fd_) != 0) {
    fail(errno);
  }
  // Network file systems report a full disk as late as here.
  if (calls_.close(std::exchange(fd_, -1)) != 0 && errno != EINTR) {
    fail(errno);
  }
}

bool TemporaryFile::publish() {
  if (calls_.rename_new(place_.directory, name_.c_str(), place_.name.c_str()) == 0) {
    present_ = false;
    return true;
  }
  if (is_unsupported(errno)) {
    return publish_without_rename();
  }
  if (errno != EEXIST) {
    fail(errno);
  }
  return false;
}

// For file systems without RENAME_NOREPLACE (NFS, some FUSE): a hard link does not replace either.
// Where there are no hard links (FAT, SMB) look first; a racing writer of the same name then wins
// by being last, which is harmless where names are content hashes.
bool TemporaryFile::publish_without_rename() {
  const char* final_name = place_.name.c_str();
  if (calls_.link(place_.directory, name_.c_str(), final_name) == 0) {
    discard();
    return true;
  }
  if (errno == EEXIST) {
    return false;
  }
  if (!is_unsupported(errno) && errno != EMLINK) {
    fail(errno);
  }
  struct stat status{};
  if (::fstatat(place_.directory, final_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return false;
  }
  if (errno != ENOENT) {
    fail(errno);
  }
  publish_over();
  return true;
}

void TemporaryFile::publish_over() {
  if (calls_.rename_over(place_.directory, name_.c_str(), place_.name.c_str()) != 0) {
    fail(errno);
  }
  present_ = false;
}

}  // namespace salvor
