// Relation files cut into blobs at page borders.
//
// A change of one page must not cost a megabyte, and a cold terabyte must not cost an index of a
// hundred million blobs. So a file is cut into cells of one size, at multiples of it; where pages
// have changed a cell is divided, half by half, down to kHotBytes, so that the next change of the
// same pages costs little; and a divided cell in which nothing has changed for long is put together
// again when it happens to be read whole. The shape of a file's earlier content is kept wherever
// nothing speaks against it: its blobs are found in the repository then.
//
// The cell's size follows from the cluster's, as the root of it: half of the bytes that a small
// change adds is cells, the other half the list of all cells (34 bytes for each), which is written
// anew with its directory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "connector/postgres/page.h"
#include "connector/source.h"

namespace salvor::postgres {

inline constexpr uint64_t kHotBytes = uint64_t{16} << 10;

// 64 KiB below 16 GiB of data to 1 MiB from 4 TiB on; a power of two.
[[nodiscard]] uint64_t cell_bytes_for(uint64_t cluster_bytes);

// The sizes of the blobs for [begin, end) of a file, of which the sorted `dirty` page numbers (any
// that lie elsewhere do not count) have changed. `begin` is a multiple of the page size.
[[nodiscard]] std::vector<uint64_t> divide(uint64_t begin, uint64_t end, uint64_t cell,
                                           const std::vector<uint32_t>& dirty);

// True when all borders between the parts are borders of pages.
[[nodiscard]] bool page_aligned(const std::vector<PartReader::Part>& parts);

struct CuttingRules {
  uint64_t cell = uint64_t{64} << 10;
  // What earlier content knows: pages with an LSN from here on have changed since.
  Lsn changed_since;
  // Divided cells without pages from here on are put together. 0: never.
  Lsn hot_since;
};

// Cuts a whole file that is read from its first byte. `earlier`: its parts in an earlier snapshot
// (page_aligned), or none.
class WholeFileParts final : public PartReader {
 public:
  WholeFileParts(std::unique_ptr<ByteReader> reader, CuttingRules rules, std::vector<Part> earlier);
  std::optional<Part> next(Buffer& bytes) override;

 private:
  [[nodiscard]] uint64_t span_end();
  [[nodiscard]] std::vector<uint64_t> shape(ByteView span) const;
  size_t fill(Buffer& bytes, uint64_t wanted);

  const std::unique_ptr<ByteReader> reader_;
  const CuttingRules rules_;
  const std::vector<Part> earlier_;
  std::vector<uint64_t> borders_;  // ends of the earlier parts
  uint64_t position_ = 0;          // of what comes next from the reader
  Buffer pending_;                 // read and not yet given out
  size_t given_ = 0;               // of pending_
  std::vector<uint64_t> sizes_;    // of the parts in pending_, the next one last
};

}  // namespace salvor::postgres
