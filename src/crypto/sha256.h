// SHA-256 (FIPS 180-4), one message or several at a time.
//
// One SHA-NI stream leaves more than half of the unit idle because each round waits for the one
// before. Independent messages interleaved in one loop fill it: two give 2x, three about 2.5x
// (measured in docs/performance.md). Blobs are independent, so the engine hashes them in batches.
#pragma once

#include <array>
#include <span>

#include "base/bytes.h"
#include "base/id.h"

namespace salvor {

[[nodiscard]] Digest sha256(ByteView message);

// Incremental. Copyable (a copy continues on its own). Not thread-safe.
class Sha256 {
 public:
  Sha256();
  void update(ByteView bytes);
  // The digest of everything so far; may be called once.
  [[nodiscard]] Digest finish();

 private:
  friend void sha256_update_many(std::span<struct Sha256Update> updates);
  std::array<uint32_t, 8> state_;
  std::array<std::byte, 64> pending_;
  uint64_t length_ = 0;
};

// One step of an incremental hash, to be taken together with others.
struct Sha256Update {
  Sha256* hash;
  ByteView bytes;
};

// Same result as calling `hash->update(bytes)` for each; `hash` pointers must differ.
void sha256_update_many(std::span<Sha256Update> updates);

// Digests of independent messages, `out[i]` for `messages[i]`; any count, any lengths. Lanes are
// refilled as messages end, so that lengths need not be alike.
void sha256_many(std::span<const ByteView> messages, std::span<Digest> out);

// The kernels behind the functions above, for tests and benchmarks ("portable", "sha-ni", ...).
[[nodiscard]] std::string_view sha256_kernel_name();

}  // namespace salvor
