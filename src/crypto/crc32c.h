// CRC-32C (Castagnoli): what Google Cloud Storage checks uploads with, and PostgreSQL its
// pg_control, WAL records and, by default, backup manifests.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace salvor {

// Incremental. A value.
class Crc32c {
 public:
  void update(ByteView bytes);
  [[nodiscard]] uint32_t value() const { return ~state_; }

 private:
  uint32_t state_ = UINT32_MAX;
};

[[nodiscard]] inline uint32_t crc32c(ByteView bytes) {
  Crc32c crc;
  crc.update(bytes);
  return crc.value();
}

// Sums of joined and divided data without the data. With |B| bytes in B and + for exclusive or:
//
//   crc(A B) = append(crc(A), |B|) + crc(B)          crc(A) = remove(crc(A B) + crc(B), |B|)
//   crc(A X B) + crc(A Y B) = append(crc(X) + crc(Y), |B|)   where X is as long as Y
//
// Multiplication by a power of x modulo the polynomial, whose order is 2^31 - 1.
[[nodiscard]] uint32_t crc32c_append(uint32_t crc, uint64_t bytes);
[[nodiscard]] uint32_t crc32c_remove(uint32_t crc, uint64_t bytes);

}  // namespace salvor
