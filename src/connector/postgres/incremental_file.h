// Files INCREMENTAL.<name> of an incremental backup (17 and later): the blocks of one relation file
// that have changed, made into the whole file again with the blobs of an earlier snapshot.
//
// Layout, in the server's byte order (little-endian): magic, number of blocks, "truncation block
// length", the block numbers, zeros up to a page border if there are blocks, the blocks. The new
// file is max(truncation block length, last block + 1) blocks long; a block is the new one if
// there is one, else the old one if it lies before both the old end and the truncation block
// length, else zeros. Source: src/backend/backup/basebackup_incremental.c and
// src/bin/pg_combinebackup/reconstruct.c describe it; there is no other documentation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "connector/postgres/page.h"
#include "connector/source.h"
#include "crypto/crc32c.h"

namespace salvor::postgres {

inline constexpr std::string_view kIncrementalPrefix = "INCREMENTAL.";

struct IncrementalHeader {
  std::vector<uint32_t> blocks;  // ascending, of this file
  uint32_t truncation = 0;       // blocks
  [[nodiscard]] uint32_t length() const {
    return blocks.empty() ? truncation : std::max(truncation, blocks.back() + 1);
  }
};

// Reads the header and leaves the reader at the first block. Throws Error{kDamaged}. A truncation
// length beyond the file's limit is that of the relation, as servers before 17.8 and 18.2 write it,
// and means "not here".
[[nodiscard]] IncrementalHeader read_incremental_header(ByteReader& reader);

// A blob of the earlier backup cannot be read: there is no new backup, but a full one can be made.
class EarlierUnreadable : public Error {
 public:
  using Error::Error;
};

// A file of the earlier backup.
struct EarlierFile {
  const Node* node = nullptr;
  uint32_t crc = 0;
};

// What became of a rebuilt file.
struct RebuiltFile {
  uint64_t size = 0;
  uint32_t crc = 0;
};

struct RebuildOptions {
  uint64_t cell = uint64_t{64} << 10;
  // Called with each new block.
  std::function<void(uint32_t block, ByteView page)> on_page;
  // Called once, at the end.
  std::function<void(const RebuiltFile&)> on_end;
};

// Reads only those old blobs in which something changes. Throws EarlierUnreadable.
class RebuiltParts final : public PartReader {
 public:
  // `reader` is at the file's beginning.
  RebuiltParts(const Context& context, std::unique_ptr<ByteReader> reader,
               const EarlierFiles& files, EarlierFile earlier, RebuildOptions options);
  std::optional<Part> next(Buffer& bytes) override;

 private:
  [[nodiscard]] std::vector<BlobId> old_blobs() const;
  [[nodiscard]] Buffer read_old(const Part& part) const;
  void rebuild(uint64_t begin, uint64_t end, ByteView old);
  [[nodiscard]] bool touched(uint64_t end) const;
  void end();

  const Context context_;
  const std::unique_ptr<ByteReader> reader_;
  const EarlierFile earlier_;
  const RebuildOptions options_;
  const std::vector<Part> old_;
  uint64_t old_size_ = 0;
  IncrementalHeader header_;
  uint64_t size_ = 0;                          // of the new file
  uint64_t kept_ = 0;                          // bytes at its beginning that may be the old ones
  const std::unique_ptr<EarlierBlobs> blobs_;  // in which something changes
  size_t block_ = 0;                           // of header_.blocks, the next to come
  size_t part_ = 0;                            // of old_
  uint64_t position_ = 0;                      // of what comes next
  Buffer pending_;                             // rebuilt and not yet given out
  size_t given_ = 0;
  std::vector<uint64_t> sizes_;  // of the parts in pending_, the next one last
  // See crc32c.h.
  uint32_t crc_change_ = 0;
  Crc32c crc_removed_;
  Crc32c crc_added_;
  bool ended_ = false;
};

}  // namespace salvor::postgres
