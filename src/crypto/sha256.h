// SHA-256 (FIPS 180-4), one message or several at a time.
//
// One SHA-NI stream leaves more than half of the unit idle because each round waits for the one
// before. Independent messages interleaved in one loop fill it: two give 2x, four about 2.5x.
// Blobs are independent, so the engine hashes them in batches; a batch should hold at least four
// long messages.
//
// Everything here is a pure function of its arguments and may be called from any thread.
#pragma once

#include <array>
#include <span>
#include <string_view>

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
  friend class Sha256Updates;
  std::array<uint32_t, 8> state_;
  std::array<std::byte, 64> pending_;
  uint64_t length_ = 0;
};

// One step of an incremental hash, to be taken together with others.
struct Sha256Update {
  Sha256* hash;
  ByteView bytes;
};

// Same result as calling `hash->update(bytes)` for each, in any order; the `hash` pointers must
// differ.
void sha256_update_many(std::span<const Sha256Update> updates);

// Digests of independent messages, `out[i]` for `messages[i]`; any count, any lengths. Lanes are
// refilled as messages end, the longer messages going first, so that lengths need not be alike.
// Throws Error when the counts differ.
void sha256_many(std::span<const ByteView> messages, std::span<Digest> out);

}  // namespace salvor
