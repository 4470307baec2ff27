// Small things that every storage test needs.
#pragma once

#include "base/random.h"
#include "crypto/sha256.h"
#include "storage/storage.h"
#include "support/errors.h"

namespace salvor::test {

[[nodiscard]] inline ObjectName named_by_hash(ObjectKind kind, ByteView content) {
  return {kind, to_hex(sha256(content))};
}

// `size` bytes that depend on `seed` and on their position.
[[nodiscard]] inline Buffer pattern(size_t size, uint64_t seed) {
  Buffer bytes(size);
  SeededRandom(seed).fill(bytes.bytes());
  return bytes;
}

}  // namespace salvor::test
