#include "connector/files/xattr.h"

#include <array>
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace salvor {
namespace {

// The same numbers on every architecture except alpha (Linux 6.13,
// include/uapi/asm-generic/unistd.h).
constexpr long kSetxattrat = 463;
constexpr long kGetxattrat = 464;
constexpr long kListxattrat = 465;
constexpr long kRemovexattrat = 466;

// struct xattr_args of the kernel.
struct XattrArguments {
  alignas(8) uint64_t value = 0;
  uint32_t size = 0;
  uint32_t flags = 0;
};

bool at_calls_available() {
  static const bool available =
      syscall(kListxattrat, -1, "", AT_SYMLINK_NOFOLLOW, nullptr, 0) < 0 && errno != ENOSYS &&
      errno != EPERM;
  return available;
}

// "/proc/self/fd/<fd>/<name>" for kernels without the *at calls. Names have at most 255 bytes.
struct ProcPath {
  ProcPath(int fd, const char* name) {
    std::snprintf(text.data(), text.size(), "/proc/self/fd/%d/%s", fd, name);
  }
  std::array<char, 300> text{};
};

ssize_t list_once(int fd, const char* name, char* out, size_t size) {
  if (name == nullptr) {
    return flistxattr(fd, out, size);
  }
  if (at_calls_available()) {
    return syscall(kListxattrat, fd, name, AT_SYMLINK_NOFOLLOW, out, size);
  }
  return llistxattr(ProcPath(fd, name).text.data(), out, size);
}

ssize_t get_once(int fd, const char* name, const char* attribute, void* out, size_t size) {
  if (name == nullptr) {
    return fgetxattr(fd, attribute, out, size);
  }
  if (at_calls_available()) {
    XattrArguments arguments{reinterpret_cast<uint64_t>(out), static_cast<uint32_t>(size), 0};
    return syscall(kGetxattrat, fd, name, AT_SYMLINK_NOFOLLOW, attribute, &arguments,
                   sizeof arguments);
  }
  return lgetxattr(ProcPath(fd, name).text.data(), attribute, out, size);
}

// Calls `once(buffer, size)` with growing buffers until the answer fits. Returns its size or -1.
template <class Once>
ssize_t with_growing_buffer(Buffer& scratch, const Once& once) {
  if (scratch.size() < 4096) {
    scratch.resize(4096);
  }
  for (;;) {
    const ssize_t got = once(scratch.data(), scratch.size());
    constexpr size_t kLargest = 1 << 20;  // the kernel's own limit is 64 KiB
    if (got >= 0 || errno != ERANGE || scratch.size() >= kLargest) {
      return got;
    }
    scratch.resize(scratch.size() * 4);
  }
}

bool is_unsupported(int error) {
  return error == ENOTSUP || error == EOPNOTSUPP || error == ENODATA;
}

}  // namespace

int list_xattrs(int fd, const char* name, std::vector<std::string>& names, Buffer& scratch) {
  names.clear();
  const ssize_t got = with_growing_buffer(scratch, [&](std::byte* out, size_t size) {
    return list_once(fd, name, reinterpret_cast<char*>(out), size);
  });
  if (got < 0) {
    return is_unsupported(errno) ? 0 : errno;
  }
  std::string_view rest = as_text(scratch.view(0, static_cast<size_t>(got)));
  while (!rest.empty()) {
    const size_t end = rest.find('\0');
    names.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return 0;
}

int get_xattr(int fd, const char* name, const std::string& attribute, std::string& value,
              Buffer& scratch) {
  const ssize_t got = with_growing_buffer(scratch, [&](std::byte* out, size_t size) {
    return get_once(fd, name, attribute.c_str(), out, size);
  });
  if (got < 0) {
    return errno;
  }
  value = as_text(scratch.view(0, static_cast<size_t>(got)));
  return 0;
}

int set_xattr(int fd, const char* name, const std::string& attribute, std::string_view value) {
  long done = 0;
  if (name == nullptr) {
    done = fsetxattr(fd, attribute.c_str(), value.data(), value.size(), 0);
  } else if (at_calls_available()) {
    XattrArguments arguments{reinterpret_cast<uint64_t>(value.data()),
                             static_cast<uint32_t>(value.size()), 0};
    done = syscall(kSetxattrat, fd, name, AT_SYMLINK_NOFOLLOW, attribute.c_str(), &arguments,
                   sizeof arguments);
  } else {
    done =
        lsetxattr(ProcPath(fd, name).text.data(), attribute.c_str(), value.data(), value.size(), 0);
  }
  return done < 0 ? errno : 0;
}

int remove_xattr(int fd, const char* name, const std::string& attribute) {
  long done = 0;
  if (name == nullptr) {
    done = fremovexattr(fd, attribute.c_str());
  } else if (at_calls_available()) {
    done = syscall(kRemovexattrat, fd, name, AT_SYMLINK_NOFOLLOW, attribute.c_str());
  } else {
    done = lremovexattr(ProcPath(fd, name).text.data(), attribute.c_str());
  }
  return done < 0 ? errno : 0;
}

}  // namespace salvor
