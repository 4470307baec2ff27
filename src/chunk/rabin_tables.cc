#include "chunk/rabin_tables.h"

#include "base/error.h"
#include "chunk/chunker.h"

namespace salvor {
namespace {

constexpr int kDegree = 53;
constexpr int kShift = 8 * kPlanes - kDegree;  // 3

uint64_t times_x(uint64_t a, uint64_t p) {
  a <<= 1;
  return (a >> kDegree) != 0 ? a ^ p : a;
}

// A linear map from a byte to a fingerprint, given by the images of its 8 bits.
using Images = std::array<uint64_t, 8>;

// The images of the bits of a byte times x^exponent.
Images images_of(int exponent, uint64_t p) {
  uint64_t value = 1;
  for (int i = 0; i < exponent; ++i) {
    value = times_x(value, p);
  }
  Images images{};
  for (uint64_t& image : images) {
    image = value;
    value = times_x(value, p);
  }
  return images;
}

uint64_t apply(const Images& images, size_t byte) {
  uint64_t sum = 0;
  for (size_t i = 0; i < images.size(); ++i) {
    sum ^= ((byte >> i) & 1) != 0 ? images[i] : 0;
  }
  return sum;
}

uint8_t plane_of(uint64_t fingerprint, int plane) {
  return static_cast<uint8_t>((fingerprint << kShift) >> (8 * plane));
}

// GF2P8AFFINEQB: bit i of the result is the parity of the input AND byte 7-i of the matrix.
uint64_t matrix_of(const Images& images, int plane) {
  uint64_t matrix = 0;
  for (int in = 0; in < 8; ++in) {
    const uint8_t column = plane_of(images[static_cast<size_t>(in)], plane);
    for (int out = 0; out < 8; ++out) {
      const uint64_t bit = (column >> out) & 1U;
      matrix |= bit << (8 * (7 - out) + in);
    }
  }
  return matrix;
}

RabinTables::Nibbles nibbles_of(const Images& images, int plane) {
  RabinTables::Nibbles nibbles{};
  for (size_t i = 0; i < 16; ++i) {
    nibbles.low[i] = plane_of(apply(images, i), plane);
    nibbles.high[i] = plane_of(apply(images, i << 4), plane);
  }
  return nibbles;
}

}  // namespace

RabinTables::RabinTables(Polynomial polynomial) {
  if (polynomial.degree() != kDegree) {
    throw Error(ErrorCode::kDamaged,
                "chunker polynomial " + polynomial.hex() + " does not have degree 53",
                "The repository's config is damaged or was not written by restic or Salvor.");
  }
  const uint64_t p = polynomial.bits();
  const Images overflow = images_of(kDegree, p);
  const Images outgoing = images_of(8 * static_cast<int>(kChunkWindow), p);
  for (size_t byte = 0; byte < 256; ++byte) {
    append_table[byte] = apply(overflow, byte) | (static_cast<uint64_t>(byte) << kDegree);
    remove_table[byte] = apply(outgoing, byte);
  }
  for (int plane = 0; plane < kPlanes; ++plane) {
    const auto k = static_cast<size_t>(plane);
    append_matrix[k] = matrix_of(overflow, plane);
    remove_matrix[k] = matrix_of(outgoing, plane);
    append_nibbles[k] = nibbles_of(overflow, plane);
    remove_nibbles[k] = nibbles_of(outgoing, plane);
  }
}

}  // namespace salvor
