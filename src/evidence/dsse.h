// DSSE envelopes (https://github.com/secure-systems-lab/dsse, protocol 1.0.0): signed texts.
//
//   {"payloadType": TYPE, "payload": base64(PAYLOAD), "signatures": [{"keyid": ID, "sig": base64}]}
//
// What is signed is PAE(TYPE, PAYLOAD), so that neither can be taken for the other.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "evidence/ed25519.h"

namespace salvor {

inline constexpr size_t kEnvelopeLimit = size_t{16} << 20;

struct EnvelopeSignature {
  std::string key_id;  // a hint, not authenticated
  std::string bytes;
};

// A value. Decoded is not verified.
struct Envelope {
  std::string payload_type;
  std::string payload;
  std::vector<EnvelopeSignature> signatures;
};

// "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
[[nodiscard]] std::string pre_authentication_encoding(std::string_view payload_type,
                                                      std::string_view payload);
[[nodiscard]] Envelope sign_envelope(std::string payload_type, std::string payload,
                                     const SigningKey& key);
// One line of JSON with a newline; the same for the same envelope.
[[nodiscard]] std::string encode_envelope(const Envelope& envelope);
// Strict (json.h); both alphabets of base64, as the protocol demands. Throws Error{kDamaged} with
// the reason.
[[nodiscard]] Envelope decode_envelope(std::string_view text);

// A key that somebody trusts, and for which times of signing.
struct TrustedKey {
  PublicKey key;
  std::optional<WallTime> from;
  std::optional<WallTime> to;
};

// Which of the keys has signed it. Throws Error{kDamaged} with the reason when none has.
[[nodiscard]] const TrustedKey& verify_envelope(const Envelope& envelope,
                                                std::span<const TrustedKey> keys);

}  // namespace salvor
