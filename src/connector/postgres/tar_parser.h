// A tar archive that arrives in pieces, as a PostgreSQL server sends it: ustar headers of its own
// making, plain files, directories and symbolic links, no extensions.
//
// Sources: POSIX.1-1988 "ustar"; src/port/tar.c for what the server writes (numbers in base 256
// above 8 GiB).
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace salvor::postgres {

enum class TarEntryType : uint8_t { kFile, kDirectory, kSymlink };

struct TarEntry {
  std::string path;  // relative, cleaned of a leading "./" and trailing slashes; "" is the
                     // archive's own top
  TarEntryType type = TarEntryType::kFile;
  uint32_t permissions = 0;  // 0 to 07777
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string user;
  std::string group;
  uint64_t size = 0;        // files only
  int64_t modified = 0;     // seconds since 1970
  std::string link_target;  // symlinks only
};

class TarReceiver {
 public:
  virtual ~TarReceiver() = default;
  virtual void entry(const TarEntry& entry) = 0;
  // Content of the file that `entry` announced last; `bytes` is never empty.
  virtual void content(ByteView bytes) = 0;
  // All of the file's bytes have come (also for an empty one).
  virtual void file_end() = 0;
};

// Not thread-safe. Throws Error{kDamaged} for a wrong header checksum, unknown type, numbers that
// are none, and for paths that would leave the tree: absolute ones, "..", empty components.
class TarParser {
 public:
  explicit TarParser(TarReceiver& receiver) : receiver_(receiver) {}
  void feed(ByteView bytes);
  // No more bytes: throws Error{kDamaged} in the middle of an entry. The two zero blocks at the end
  // may be missing (servers before 15 leave them out).
  void finish() const;

 private:
  void header();

  TarReceiver& receiver_;
  std::byte block_[512];
  size_t have_ = 0;       // bytes of block_
  uint64_t content_ = 0;  // bytes of the file to come
  uint64_t padding_ = 0;  // behind it
  bool ended_ = false;    // a zero block was seen
};

}  // namespace salvor::postgres
