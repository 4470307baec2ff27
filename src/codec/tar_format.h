// The headers of a tar archive (POSIX ustar), for archives that are written in one go and read at
// any place. For archives of file trees with all their metadata see codec/archive_writer.h.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace salvor {

inline constexpr size_t kTarBlock = 512;
using TarBlock = std::array<std::byte, kTarBlock>;

// Zeros that follow a content of so many bytes, up to the next block.
[[nodiscard]] constexpr size_t tar_padding(uint64_t size_bytes) {
  return static_cast<size_t>((kTarBlock - size_bytes % kTarBlock) % kTarBlock);
}

// `name`: relative, at most 100 bytes, a directory's ends with a slash. `size_bytes` below 8 GiB.
// Throws Error{kFailed} for what does not fit. Mode 0600 (0700), owner 0.
[[nodiscard]] TarBlock encode_tar_header(std::string_view name, uint64_t size_bytes,
                                         int64_t mtime_seconds);

// Where the content of a regular file is.
struct TarMember {
  std::string name;  // without leading "./"
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

// Reads exactly out.size() bytes from `offset` of the archive, which lie within it.
using TarRead = std::function<void(uint64_t offset, MutableBytes out)>;

// An archive that ends before its end: which may be a volume that is missing, not damage.
struct TarContents {
  std::vector<TarMember> members;
  bool complete = false;  // the mark at the end was there
};

// The regular files of an archive of `size_bytes`. Directories are skipped, and pax headers that
// change neither name nor size. Nothing is ever extracted: names only name. Throws Error{kDamaged}
// for anything that is not such an archive: wrong checksums, names that are absolute or hold "..",
// links and devices, names that come twice, sizes that are none.
[[nodiscard]] TarContents read_tar_contents(const TarRead& read, uint64_t size_bytes);

}  // namespace salvor
