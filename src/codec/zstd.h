// zstd (RFC 8878) as restic uses it (restic format, section 4).
#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"

namespace salvor {

// Reuses one context. Not thread-safe: one a thread.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  // One frame with content size, no checksum, no dictionary, window log at most 23. Replaces
  // `out`'s content. `level` is zstd's own scale (negative = faster).
  void compress(ByteView plain, int level, Buffer& out);

  // Whether compressing `plain` is likely to save less than about 2 %: looks at samples of a few
  // KiB only. Small inputs
  // (< 1 KiB) always answer false: just try.
  [[nodiscard]] bool looks_incompressible(ByteView plain);

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

  // For frames of unknown size; stops with nothing at `limit_bytes`.
  [[nodiscard]] std::optional<Buffer> decompress_unknown(ByteView compressed, size_t limit_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
