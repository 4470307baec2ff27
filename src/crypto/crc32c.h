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

}  // namespace salvor
