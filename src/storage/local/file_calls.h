// The file system calls by which the local storage changes something, as a seam for tests: it lets
// them fail any call with any errno and model what a crash of the machine leaves behind.
#pragma once

#include <sys/types.h>

struct iovec;  // NOLINT(readability-identifier-naming): POSIX

namespace salvor {

// Each does what the system call of the like name does, and reports as it does: -1 and errno.
// Thread-safe.
class FileCalls {
 public:
  virtual ~FileCalls() = default;
  virtual int make_directory(int directory, const char* path, mode_t mode) = 0;
  // Creates and opens for writing; EEXIST when there is one (O_EXCL).
  virtual int create_file(int directory, const char* path, mode_t mode) = 0;
  virtual ssize_t write_at(int fd, const iovec* parts, int count, off_t offset) = 0;
  virtual int change_mode(int fd, mode_t mode) = 0;
  // fsync(2) of a file or a directory.
  virtual int sync(int fd) = 0;
  virtual int close(int fd) = 0;
  // renameat2 with RENAME_NOREPLACE; EINVAL where the file system does not know it.
  virtual int rename_new(int directory, const char* from, const char* to) = 0;
  virtual int rename_over(int directory, const char* from, const char* to) = 0;
  virtual int link(int directory, const char* from, const char* to) = 0;
  virtual int unlink(int directory, const char* path) = 0;
};

// The real ones.
class SystemFileCalls final : public FileCalls {
 public:
  int make_directory(int directory, const char* path, mode_t mode) override;
  int create_file(int directory, const char* path, mode_t mode) override;
  ssize_t write_at(int fd, const iovec* parts, int count, off_t offset) override;
  int change_mode(int fd, mode_t mode) override;
  int sync(int fd) override;
  int close(int fd) override;
  int rename_new(int directory, const char* from, const char* to) override;
  int rename_over(int directory, const char* from, const char* to) override;
  int link(int directory, const char* from, const char* to) override;
  int unlink(int directory, const char* path) override;
};

}  // namespace salvor
