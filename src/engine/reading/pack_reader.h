// Reads whole packs and verifies every byte: the pack's name is its hash, each blob unseals,
// decompresses and hashes to its id, and the header says what the index says.
//
// Made for speed: a pack is streamed in batches of a few MiB; the pack's own hash and those of the
// batch's blobs run interleaved in one pass, which leaves decompression as the bottleneck
// (docs/performance.md). Memory: one batch a thread, however large the pack.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "model/blob.h"

namespace salvor {

class Repository;

struct PackVerdict {
  // What is wrong, in words; empty when the pack is sound.
  std::vector<std::string> problems;
  // Of the blobs given, those that do not verify.
  std::vector<PackedBlob> damaged;
  // The storage could not deliver the pack (it is absent, or reading failed): nothing is known of
  // the blobs, and all of them are in `damaged`.
  bool unreadable = false;
  uint64_t bytes_read = 0;
  uint64_t plain_bytes = 0;

  [[nodiscard]] bool sound() const { return problems.empty(); }
};

// One a thread. Not thread-safe.
class PackReader {
 public:
  explicit PackReader(const Repository& repository);
  ~PackReader();

  // Verifies a pack of `size_bytes` whose blobs, as the index lists them, are `blobs` (sorted by
  // offset). Throws for trouble that is not the pack's: stopped, storage unreachable.
  [[nodiscard]] PackVerdict verify(const Context& context, const PackId& pack, uint64_t size_bytes,
                                   std::span<const PackedBlob> blobs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The blobs that a pack's own header lists, offsets included. Throws Error{kDamaged} when the
// header does not verify, or does not account for every byte of the pack.
[[nodiscard]] std::vector<PackedBlob> read_pack_header(const Context& context,
                                                       const Repository& repository,
                                                       const PackId& pack, uint64_t size_bytes);

// The size that a pack with these blobs has.
[[nodiscard]] uint64_t pack_size_of(std::span<const PackedBlob> blobs);

}  // namespace salvor
