#include "evidence/ed25519.h"

#include <algorithm>
#include <memory>

#include <openssl/evp.h>

#include "base/error.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

// DER of RFC 8410 in front of the 32 bytes. Do not change: they are on disk.
constexpr std::string_view kPublicPrefix("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12);
constexpr std::string_view kPrivatePrefix(
    "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 16);
constexpr size_t kKeyBytes = 32;
constexpr size_t kPemLimit = 4096;

struct FreeKey {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using KeyHandle = std::unique_ptr<EVP_PKEY, FreeKey>;
using ContextHandle = std::unique_ptr<EVP_MD_CTX, FreeContext>;

const unsigned char* raw(const void* data) {
  return static_cast<const unsigned char*>(data);
}

[[noreturn]] void no_openssl() {
  throw Error(ErrorCode::kFailed, "OpenSSL cannot work with Ed25519 keys",
              "A FIPS-only configuration of OpenSSL may forbid them.");
}

KeyHandle private_handle(const Secret& seed) {
  KeyHandle key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(seed.reveal().data()),
                                             seed.reveal().size()));
  if (!key) {
    no_openssl();
  }
  return key;
}

PublicKey public_of(const Secret& seed) {
  const KeyHandle key = private_handle(seed);
  PublicKey::Raw bytes;
  size_t size = bytes.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(bytes.data()),
                                  &size) != 1 ||
      size != bytes.size()) {
    no_openssl();
  }
  return PublicKey(bytes);
}

std::string armor(std::string_view label, ByteView der) {
  const std::string name(label);
  // One line of 64 characters holds both kinds.
  return "-----BEGIN " + name + "-----\n" + to_base64(der) + "\n-----END " + name + "-----\n";
}

// The bytes behind `prefix`. False when the text is not that.
bool unarmor(std::string_view pem, std::string_view label, std::string_view prefix,
             MutableBytes out) {
  const std::string begin = "-----BEGIN " + std::string(label) + "-----";
  const std::string end = "-----END " + std::string(label) + "-----";
  const size_t from = pem.find(begin);
  const size_t to = pem.find(end);
  if (pem.size() > kPemLimit || from == std::string_view::npos || to == std::string_view::npos ||
      to < from) {
    return false;
  }
  std::string text;
  text.reserve(kPemLimit);
  for (const char c : pem.substr(from + begin.size(), to - from - begin.size())) {
    if (c != '\n' && c != '\r' && c != ' ' && c != '\t') {
      text += c;
    }
  }
  Buffer der;
  const bool good = from_base64(text, der) && der.size() == prefix.size() + out.size() &&
                    as_text(der.view()).starts_with(prefix);
  if (good) {
    std::copy_n(der.data() + prefix.size(), out.size(), out.data());
  }
  wipe(text.data(), text.size());
  wipe(der.data(), der.size());
  return good;
}

}  // namespace

PublicKey PublicKey::from_pem(std::string_view pem) {
  Raw bytes;
  if (!unarmor(pem, "PUBLIC KEY", kPublicPrefix, bytes)) {
    throw Error(ErrorCode::kUsage, "it is not an Ed25519 public key in PEM form",
                "`salvor evidence key public` writes one; it begins with \"-----BEGIN PUBLIC "
                "KEY-----\".");
  }
  return PublicKey(bytes);
}

std::string PublicKey::pem() const {
  Buffer der;
  der.append(kPublicPrefix);
  der.append(ByteView(raw_));
  return armor("PUBLIC KEY", der.view());
}

std::string PublicKey::id() const {
  Buffer der;
  der.append(kPublicPrefix);
  der.append(ByteView(raw_));
  return to_hex(sha256(der.view()));
}

bool PublicKey::verify(ByteView message, ByteView signature) const {
  if (signature.size() != kSignatureBytes) {
    return false;
  }
  const KeyHandle key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(raw_.data()), raw_.size()));
  const ContextHandle context(EVP_MD_CTX_new());
  if (!key || !context ||
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) {
    no_openssl();
  }
  return EVP_DigestVerify(context.get(), raw(signature.data()), signature.size(),
                          raw(message.data()), message.size()) == 1;
}

SigningKey::SigningKey(Secret seed) : seed_(std::move(seed)), public_(public_of(seed_)) {}

SigningKey SigningKey::generate(Random& random) {
  std::string seed(kKeyBytes, '\0');
  random.fill(std::as_writable_bytes(std::span(seed)));
  return SigningKey(Secret(std::move(seed)));
}

SigningKey SigningKey::from_pem(const Secret& pem) {
  std::string seed(kKeyBytes, '\0');
  if (!unarmor(pem.reveal(), "PRIVATE KEY", kPrivatePrefix,
               std::as_writable_bytes(std::span(seed)))) {
    throw Error(ErrorCode::kUsage, "it is not an Ed25519 private key in PEM form",
                "`openssl genpkey -algorithm ed25519` makes one. Keys with a passphrase are not "
                "understood: protect the file by its permissions.");
  }
  return SigningKey(Secret(std::move(seed)));
}

Secret SigningKey::pem() const {
  std::string der(kPrivatePrefix);
  der.reserve(kPrivatePrefix.size() + kKeyBytes);
  der += seed_.reveal();
  std::string text = armor("PRIVATE KEY", as_bytes(der));
  wipe(der.data(), der.size());
  return Secret(std::move(text));
}

Signature SigningKey::sign(ByteView message) const {
  const KeyHandle key = private_handle(seed_);
  const ContextHandle context(EVP_MD_CTX_new());
  Signature signature;
  size_t size = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     raw(message.data()), message.size()) != 1 ||
      size != signature.size()) {
    no_openssl();
  }
  // A flipped bit in this machine's memory must not become evidence.
  if (!public_.verify(message, signature)) {
    throw Error(ErrorCode::kFailed, "a signature that was just made does not verify",
                "This machine's memory may be bad.");
  }
  return signature;
}

}  // namespace salvor
