// A chunker as plain as can be, written from the description of the format (section 10) and sharing
// no code with src/chunk: every step is done bit by bit. What the fast kernels are compared with.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace salvor::testing {

class ReferenceChunker {
 public:
  explicit ReferenceChunker(uint64_t polynomial) : polynomial_(polynomial), out_(256), mod_(256) {
    for (uint64_t byte = 0; byte < 256; ++byte) {
      // out[b] = b * x^(8*63) mod P; mod[b] = (b * x^53 mod P) | b << 53
      uint64_t out = byte;
      for (int i = 0; i < 63; ++i) {
        out = append_slowly(out, 0);
      }
      out_[byte] = out;
      uint64_t mod = byte;
      for (int i = 0; i < 53; ++i) {
        mod = times_x(mod);
      }
      mod_[byte] = mod | (byte << 53);
    }
  }

  // Of exactly 64 bytes, by long division.
  [[nodiscard]] uint64_t fingerprint(ByteView window) const {
    uint64_t h = 0;
    for (const std::byte byte : window) {
      h = append_slowly(h, static_cast<uint8_t>(byte));
    }
    return h;
  }

  // Every p >= 64 such that the 64 bytes that end with data[p] have 20 low zero bits.
  [[nodiscard]] std::vector<size_t> candidates(ByteView data) const {
    std::vector<size_t> found;
    uint64_t h = 0;
    for (size_t p = 0; p < data.size(); ++p) {
      h = step(h, data[p], p >= 64 ? data[p - 64] : std::byte{0});
      if (p >= 64 && (h & 0xfffff) == 0) {
        found.push_back(p);
      }
    }
    return found;
  }

  // As Chunker reports them.
  [[nodiscard]] std::vector<uint64_t> cuts(ByteView file) const {
    constexpr size_t kMin = 524288;
    constexpr size_t kMax = 8388608;
    std::vector<uint64_t> found;
    size_t start = 0;
    uint64_t h = 0;
    for (size_t p = 0; p < file.size(); ++p) {
      const size_t n = p - start + 1;
      h = step(h, file[p], n > 64 ? file[p - 64] : std::byte{0});
      if (n >= kMin && ((h & 0xfffff) == 0 || n >= kMax)) {
        found.push_back(p + 1);
        start = p + 1;
        h = 0;
      }
    }
    return found;
  }

  [[nodiscard]] const std::vector<uint64_t>& out_table() const { return out_; }
  [[nodiscard]] const std::vector<uint64_t>& mod_table() const { return mod_; }

 private:
  [[nodiscard]] uint64_t times_x(uint64_t a) const {
    a <<= 1;
    return (a >> 53) != 0 ? a ^ polynomial_ : a;
  }
  [[nodiscard]] uint64_t append_slowly(uint64_t h, uint64_t byte) const {
    for (int i = 0; i < 8; ++i) {
      h = times_x(h);
    }
    return h ^ byte;
  }
  [[nodiscard]] uint64_t step(uint64_t h, std::byte in, std::byte out) const {
    h ^= out_[static_cast<size_t>(out)];
    return ((h << 8) | static_cast<uint64_t>(in)) ^ mod_[h >> 45];
  }

  uint64_t polynomial_;
  std::vector<uint64_t> out_;
  std::vector<uint64_t> mod_;
};

}  // namespace salvor::testing
