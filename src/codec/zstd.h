// zstd (RFC 8878) as restic uses it (restic format, section 4).
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/bytes.h"

namespace salvor {

// What of a level's parameters to change; 0: nothing.
struct CompressionMethod {
  int level = 3;  // zstd's own scale (negative = faster)
  int window_log = 0;
  int hash_log = 0;
  int chain_log = 0;
  int min_match = 0;
  bool two_tables = false;  // zstd's dfast, which finds more than one table does
};

// Reuses one context. Not thread-safe: one a thread.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  // One frame with content size, no checksum, no dictionary, window log at most 23. Replaces
  // `out`'s content. `level` is zstd's own scale (negative = faster).
  void compress(ByteView plain, int level, Buffer& out) {
    compress(plain, CompressionMethod{.level = level}, out);
  }
  void compress(ByteView plain, const CompressionMethod& method, Buffer& out);

  // Whether compressing `plain` is likely to save less than about 1 %: looks at samples of a few
  // KiB only. Small inputs (< 32 KiB) always answer false: trying costs no more than asking.
  [[nodiscard]] bool looks_incompressible(ByteView plain);

  // Compressed size / size of a few KiB from four places of `plain` (which must be longer than
  // that): more than the whole would have, but comparable among blobs. Takes 20 us.
  [[nodiscard]] double sample_ratio(ByteView plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Not thread-safe: one a thread.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  // Decodes one or more frames (skippable ones too) that must yield exactly out.size() bytes. False
  // when they do not, or are malformed, or need a window above 2^29 or a dictionary. `out`'s
  // content is then unspecified.
  [[nodiscard]] bool decompress(ByteView compressed, MutableBytes out);

  // The same piece by piece, in little memory besides the frame's window: what the frames yield
  // goes to `take`, up to `size_bytes`. False when they do not yield exactly that. Throws
  // std::bad_alloc.
  [[nodiscard]] bool decompress_pieces(ByteView compressed, uint64_t size_bytes,
                                       const std::function<void(ByteView)>& take);

  // For frames of unknown size; stops with nothing at `limit_bytes`.
  [[nodiscard]] std::optional<Buffer> decompress_unknown(ByteView compressed, size_t limit_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
