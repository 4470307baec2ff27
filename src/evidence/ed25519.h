// Ed25519 signatures (RFC 8032) and keys as PEM: what `openssl genpkey -algorithm ed25519` and
// `openssl pkey -pubout` write, byte for byte.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/random.h"
#include "base/secret.h"

namespace salvor {

inline constexpr size_t kSignatureBytes = 64;
using Signature = std::array<std::byte, kSignatureBytes>;

// A value. Thread-safe.
class PublicKey {
 public:
  using Raw = std::array<std::byte, 32>;
  explicit PublicKey(const Raw& raw) : raw_(raw) {}
  // SubjectPublicKeyInfo. Throws Error{kUsage} when it is something else.
  [[nodiscard]] static PublicKey from_pem(std::string_view pem);

  [[nodiscard]] std::string pem() const;
  // SHA-256 of the DER form, 64 hexadecimal digits:
  //   openssl pkey -pubin -in key.pem -outform DER | sha256sum
  [[nodiscard]] std::string id() const;
  // False for a signature of another length, too.
  [[nodiscard]] bool verify(ByteView message, ByteView signature) const;

  friend bool operator==(const PublicKey&, const PublicKey&) = default;

 private:
  Raw raw_;
};

// Thread-safe.
class SigningKey {
 public:
  [[nodiscard]] static SigningKey generate(Random& random);
  // PKCS #8, not encrypted. Throws Error{kUsage} when it is something else; the text is not quoted.
  [[nodiscard]] static SigningKey from_pem(const Secret& pem);

  [[nodiscard]] Secret pem() const;
  [[nodiscard]] const PublicKey& public_key() const { return public_; }
  [[nodiscard]] Signature sign(ByteView message) const;

 private:
  explicit SigningKey(Secret seed);

  Secret seed_;  // 32 bytes
  PublicKey public_;
};

}  // namespace salvor
