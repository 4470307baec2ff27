// Authenticated encryption as restic does it: AES-256-CTR, then Poly1305-AES over the ciphertext
// (restic format, section 2).
//
//   sealed := IV (16) || ciphertext (n) || tag (16)
#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/random.h"
#include "model/key_material.h"

namespace salvor {

inline constexpr size_t kSealOverhead = 32;

// Seals and unseals under one key. Holds OpenSSL contexts with the key schedules: a call costs 0.3
// us plus 0.2 us a KiB, making one about 1 us. OpenSSL wipes its contexts. Not thread-safe: one a
// thread. `random` must outlive it. An output of the wrong size throws Error.
class Sealer {
 public:
  // Throws Error{kDamaged} for a key of which a part is all zeros: restic refuses it too.
  Sealer(const MasterKey& key, Random& random);
  ~Sealer();
  Sealer(Sealer&&) noexcept;
  Sealer& operator=(Sealer&&) noexcept;

  // Writes plaintext.size() + kSealOverhead bytes to `out` (which must have exactly that size and
  // must not overlap `plaintext`) under a fresh random IV.
  void seal(ByteView plaintext, MutableBytes out);
  [[nodiscard]] Buffer seal(ByteView plaintext);

  // Checks the tag, then decrypts into `out`, which must hold sealed.size() - kSealOverhead bytes.
  // False when the input is too short, has an all-zero IV, or does not authenticate; `out` is then
  // untouched. `out` may be the ciphertext's own place (sealed.subspan(16, n)).
  [[nodiscard]] bool unseal(ByteView sealed, MutableBytes out);
  [[nodiscard]] std::optional<Buffer> unseal(ByteView sealed);

 private:
  friend class SealerTestPeer;
  void seal_with_iv(ByteView iv, ByteView plaintext, MutableBytes out);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
