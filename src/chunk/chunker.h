// Content-defined chunking with cuts identical to restic's, so that data deduplicates across the
// two tools (restic format, section 10).
//
// A cut may follow a byte when the fingerprint of the 64 bytes that end there has 20 low zero bits.
// restic never cuts in the first 512 KiB of a chunk and forgets everything at a cut, so whether a
// position is a *candidate* depends on the 64 bytes before it only. That lets a kernel look at many
// places of a buffer at once (interleaved table look-ups, or bit-sliced lanes with GFNI); the
// minimum and maximum are applied afterwards, in order.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "chunk/polynomial.h"

namespace salvor {

inline constexpr uint64_t kChunkMin = uint64_t{512} * 1024;
inline constexpr uint64_t kChunkMax = uint64_t{8} * 1024 * 1024;
inline constexpr size_t kChunkWindow = 64;

struct ChunkerKernel;

// Tables for one polynomial. Immutable; share one among all chunkers of a repository. Thread-safe.
class ChunkerTables {
 public:
  // The polynomial must have degree 53 (throws Error otherwise).
  explicit ChunkerTables(Polynomial polynomial);
  ~ChunkerTables();
  ChunkerTables(const ChunkerTables&) = delete;
  ChunkerTables& operator=(const ChunkerTables&) = delete;
  ChunkerTables(ChunkerTables&&) noexcept;
  ChunkerTables& operator=(ChunkerTables&&) noexcept;

 private:
  friend class Chunker;
  struct State;
  std::unique_ptr<const State> state_;
};

// Finds the cuts of one file, fed from its first byte in pieces of any size (pieces of 1 MiB or
// more are fastest). Reusable with `reset`. Not thread-safe.
class Chunker {
 public:
  // `tables` must outlive the chunker.
  explicit Chunker(const ChunkerTables& tables);
  // With a kernel of one's choice (kernel.h), for tests and measurements. `kernel` must outlive it,
  // too.
  Chunker(const ChunkerTables& tables, const ChunkerKernel& kernel);
  ~Chunker();
  Chunker(const Chunker&) = delete;
  Chunker& operator=(const Chunker&) = delete;
  Chunker(Chunker&&) noexcept;
  Chunker& operator=(Chunker&&) noexcept;

  // Starts a new file.
  void reset();
  // The next bytes of the file. Appends to `cuts` the absolute file offset just after each cut
  // found in them. The rest of the file after the last cut is its last chunk (none if the file ends
  // on a cut); a file of fewer than kChunkMin bytes needs no chunker at all.
  void feed(ByteView bytes, std::vector<uint64_t>& cuts);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The kernel in use on this machine: "interleaved", "avx2" or "gfni".
[[nodiscard]] std::string_view chunker_kernel_name();

}  // namespace salvor
