#include "base/fd.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"

namespace salvor {

void UniqueFd::close(std::string_view what) {
  if (const int error = try_close(); error != 0) {
    throw Error::from_errno(error, "cannot write " + std::string(what));
  }
}

size_t read_some(int fd, MutableBytes out, std::string_view what) {
  for (;;) {
    const ssize_t got = ::read(fd, out.data(), out.size());
    if (got >= 0) {
      return static_cast<size_t>(got);
    }
    if (errno != EINTR) {
      throw Error::from_errno(errno, "cannot read " + std::string(what));
    }
  }
}

size_t read_full(int fd, MutableBytes out, std::string_view what) {
  size_t total = 0;
  while (total < out.size()) {
    const size_t got = read_some(fd, out.subspan(total), what);
    if (got == 0) {
      break;
    }
    total += got;
  }
  return total;
}

size_t pread_full(int fd, MutableBytes out, uint64_t offset, std::string_view what) {
  size_t total = 0;
  while (total < out.size()) {
    const ssize_t got =
        ::pread(fd, out.data() + total, out.size() - total, static_cast<off_t>(offset + total));
    if (got < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw Error::from_errno(errno, "cannot read " + std::string(what));
    }
    if (got == 0) {
      break;
    }
    total += static_cast<size_t>(got);
  }
  return total;
}

void write_full(int fd, ByteView bytes, std::string_view what) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw Error::from_errno(errno, "cannot write " + std::string(what));
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void pwrite_full(int fd, ByteView bytes, uint64_t offset, std::string_view what) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw Error::from_errno(errno, "cannot write " + std::string(what));
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
}

Buffer read_file(const std::string& path, uint64_t limit_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    throw Error::from_errno(errno, "cannot open " + path);
  }
  Buffer content;
  struct stat status{};
  if (::fstat(fd.get(), &status) == 0 && status.st_size > 0) {
    // One byte more shows the end at once. A guess only: the file may grow.
    content.reserve(std::min<uint64_t>(static_cast<uint64_t>(status.st_size), limit_bytes) + 1);
  }
  constexpr size_t kStep = size_t{64} * 1024;
  for (;;) {
    const size_t before = content.size();
    const size_t room = content.capacity() - before;
    const size_t got = read_some(fd.get(), content.extend(room > 0 ? room : kStep), path);
    content.resize(before + got);
    if (got == 0) {
      return content;
    }
    if (content.size() > limit_bytes) {
      throw Error(ErrorCode::kFailed,
                  "file " + path + " is larger than " + std::to_string(limit_bytes) + " bytes");
    }
  }
}

}  // namespace salvor
