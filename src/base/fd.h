// RAII around file descriptors, and the few system calls that must be retried.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "base/bytes.h"

namespace salvor {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  // For what was read, or will be synced: nobody learns whether the file system refused anything.
  void reset() { static_cast<void>(try_close()); }
  // For what was written: file systems may refuse the data (disk full, quota, server gone) only
  // when it is closed, as NFS, SMB and FUSE do. `what` names the file for the error. The descriptor
  // is gone in any case.
  void close(std::string_view what);
  // The same without throwing: errno, or 0.
  [[nodiscard]] int try_close() {
    return fd_ < 0 || ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
  }

 private:
  int fd_ = -1;
};

// Whole transfers: retried on EINTR and short counts. `what` names the file for the error.
// read_some returns 0 only at the end of the file.
[[nodiscard]] size_t read_some(int fd, MutableBytes out, std::string_view what);
[[nodiscard]] size_t read_full(int fd, MutableBytes out, std::string_view what);
[[nodiscard]] size_t pread_full(int fd, MutableBytes out, uint64_t offset, std::string_view what);
void write_full(int fd, ByteView bytes, std::string_view what);
void pwrite_full(int fd, ByteView bytes, uint64_t offset, std::string_view what);

// The whole file at `path`; throws Error when it is larger than `limit_bytes`.
[[nodiscard]] Buffer read_file(const std::string& path, uint64_t limit_bytes);

}  // namespace salvor
