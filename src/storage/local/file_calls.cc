#include "storage/local/file_calls.h"

#include <cstdio>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace salvor {

int SystemFileCalls::make_directory(int directory, const char* path, mode_t mode) {
  return ::mkdirat(directory, path, mode);
}

int SystemFileCalls::create_file(int directory, const char* path, mode_t mode) {
  return ::openat(directory, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
}

ssize_t SystemFileCalls::write_at(int fd, const iovec* parts, int count, off_t offset) {
  return ::pwritev(fd, parts, count, offset);
}

int SystemFileCalls::change_mode(int fd, mode_t mode) {
  return ::fchmod(fd, mode);
}

int SystemFileCalls::sync(int fd) {
  return ::fsync(fd);
}

int SystemFileCalls::close(int fd) {
  return ::close(fd);
}

int SystemFileCalls::rename_new(int directory, const char* from, const char* to) {
  // The system call itself: musl has no wrapper for it.
  return static_cast<int>(
      ::syscall(SYS_renameat2, directory, from, directory, to, RENAME_NOREPLACE));
}

int SystemFileCalls::rename_over(int directory, const char* from, const char* to) {
  return ::renameat(directory, from, directory, to);
}

int SystemFileCalls::link(int directory, const char* from, const char* to) {
  return ::linkat(directory, from, directory, to, 0);
}

int SystemFileCalls::unlink(int directory, const char* path) {
  return ::unlinkat(directory, path, 0);
}

}  // namespace salvor
