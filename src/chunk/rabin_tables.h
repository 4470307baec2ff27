// Everything the chunking kernels precompute from a polynomial P of degree 53.
//
// The fingerprint of the window b0..b63 is (sum of b_i * x^(8*(63-i))) mod P: 53 bits (restic
// format, section 10). Moving on by one byte is
//     h' = h * x^8 + incoming + outgoing * x^512   (mod P)
// which is linear over GF(2), so it can be done with look-ups by byte, or with 8x8 bit matrices.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "chunk/polynomial.h"

namespace salvor {

// Bits of a fingerprint that must be zero where a cut is allowed.
inline constexpr uint64_t kCutMask = (uint64_t{1} << 20) - 1;

// The sliced kernels keep h * x^3 in 7 byte planes (53 bits + 3): then the byte that leaves at the
// top of a shift by 8 is a whole plane.
inline constexpr int kPlanes = 7;

// Immutable after construction. Thread-safe.
struct RabinTables {
  // The polynomial must have degree 53 (throws Error otherwise). It need not be irreducible.
  explicit RabinTables(Polynomial polynomial);

  // One step of the rolling fingerprint; `h` < 2^53 before and after.
  [[nodiscard]] uint64_t roll(uint64_t h, std::byte incoming, std::byte outgoing) const {
    return append(h, static_cast<uint64_t>(incoming) ^ remove_table[static_cast<size_t>(outgoing)]);
  }
  // h * x^8 + addend.
  [[nodiscard]] uint64_t append(uint64_t h, uint64_t addend) const {
    return ((h << 8) ^ addend) ^ append_table[h >> 45];
  }

  // [t]: t * x^53 mod P, and t << 53 to clear the bits that were shifted out.
  std::array<uint64_t, 256> append_table;
  // [o]: o * x^512 mod P. (restic's own table holds o * x^504, applied before the shift; applied
  // after it, the look-up is off the critical path.)
  std::array<uint64_t, 256> remove_table;

  // The same two maps for the sliced kernels. Plane k holds bits 8k-3 .. 8k+4 of the fingerprint.
  // As matrices in the operand format of GF2P8AFFINEQB:
  std::array<uint64_t, kPlanes> append_matrix;
  std::array<uint64_t, kPlanes> remove_matrix;
  // As look-ups by low and high nibble, for PSHUFB:
  struct Nibbles {
    alignas(16) std::array<uint8_t, 16> low;
    alignas(16) std::array<uint8_t, 16> high;
  };
  std::array<Nibbles, kPlanes> append_nibbles;
  std::array<Nibbles, kPlanes> remove_nibbles;
};

}  // namespace salvor
