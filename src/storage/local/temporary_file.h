// A file that is written under a temporary name, made durable, and then given its final name at
// once.
#pragma once

#include <span>
#include <string>

#include "base/bytes.h"
#include "base/random.h"
#include "storage/local/file_calls.h"

namespace salvor {

// Errors that mean "this file system cannot do that", in the many ways file systems say it.
[[nodiscard]] bool is_unsupported(int error_number);

// Removed again by the destructor unless it got its name. Not thread-safe. `calls` and `directory`
// (a descriptor) must outlive it. All errors are Error::from_errno with `what` in front.
class TemporaryFile {
 public:
  struct Place {
    int directory;
    std::string name;  // the final one; the temporary is "<name>-tmp-<digits>" beside it
    mode_t mode;       // the final one, without write bits
    std::string what;  // "cannot write pack 1a2b3c4d in ..."
  };

  TemporaryFile(FileCalls& calls, Random& random, Place place);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  // Writes the concatenation of `parts`; once.
  void write(std::span<const ByteView> parts);
  // Read-only, durable, closed.
  void finish();
  // Gives the name unless it is taken (false). The caller makes it durable: fsync of the directory.
  [[nodiscard]] bool publish();
  // The same, replacing.
  void publish_over();

 private:
  [[nodiscard]] bool publish_without_rename();
  [[noreturn]] void fail(int error_number) const;
  void discard();

  FileCalls& calls_;
  const Place place_;
  std::string name_;
  int fd_ = -1;
  bool present_ = true;
};

}  // namespace salvor
