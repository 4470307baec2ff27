#include "crypto/seal.h"

#include <algorithm>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/secret.h"

namespace salvor {
namespace {

constexpr size_t kIvSize = 16;
constexpr size_t kTagSize = 16;

struct FreeOpenssl {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
template <class T>
using Handle = std::unique_ptr<T, FreeOpenssl>;

unsigned char* raw(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

void require(bool good, const char* what) {
  if (!good) {
    throw Error(ErrorCode::kFailed, std::string("encryption failed: ") + what);
  }
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{}; });
}

}  // namespace

struct Sealer::State {
  explicit State(Random& source) : random(source) {}

  void crypt(ByteView iv, ByteView in, std::byte* out);
  void tag(ByteView iv, ByteView ciphertext, std::byte* out);

  Random& random;
  Handle<EVP_CIPHER_CTX> ctr{EVP_CIPHER_CTX_new()};
  Handle<EVP_CIPHER_CTX> mac_k{EVP_CIPHER_CTX_new()};
  Handle<EVP_MAC_CTX> poly1305;
  std::array<std::byte, 16> mac_r{};

  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { wipe(mac_r.data(), mac_r.size()); }
};

void Sealer::State::crypt(ByteView iv, ByteView in, std::byte* out) {
  require(EVP_EncryptInit_ex(ctr.get(), nullptr, nullptr, nullptr, raw(iv.data())) == 1, "AES-CTR");
  // OpenSSL counts in int.
  constexpr size_t kStep = size_t{1} << 30;
  while (!in.empty()) {
    const size_t count = std::min(in.size(), kStep);
    int written = 0;
    require(EVP_EncryptUpdate(ctr.get(), raw(out), &written, raw(in.data()),
                              static_cast<int>(count)) == 1,
            "AES-CTR");
    out += count;
    in = in.subspan(count);
  }
}

void Sealer::State::tag(ByteView iv, ByteView ciphertext, std::byte* out) {
  std::array<std::byte, 32> one_time;
  std::copy(mac_r.begin(), mac_r.end(), one_time.begin());
  int written = 0;
  require(
      EVP_EncryptUpdate(mac_k.get(), raw(one_time.data() + 16), &written, raw(iv.data()), 16) == 1,
      "AES-ECB");
  size_t size = 0;
  const bool good =
      EVP_MAC_init(poly1305.get(), raw(one_time.data()), one_time.size(), nullptr) == 1 &&
      EVP_MAC_update(poly1305.get(), raw(ciphertext.data()), ciphertext.size()) == 1 &&
      EVP_MAC_final(poly1305.get(), raw(out), &size, kTagSize) == 1;
  wipe(one_time.data(), one_time.size());
  require(good && size == kTagSize, "Poly1305");
}

Sealer::Sealer(const MasterKey& key, Random& random) : state_(std::make_unique<State>(random)) {
  if (!key.valid()) {
    throw Error(ErrorCode::kDamaged, "a part of the key is all zeros",
                "No healthy repository has such a key; the key file is damaged or forged.");
  }
  const Handle<EVP_MAC> poly1305(EVP_MAC_fetch(nullptr, "POLY1305", nullptr));
  require(poly1305 != nullptr, "no Poly1305");
  state_->poly1305.reset(EVP_MAC_CTX_new(poly1305.get()));
  require(state_->poly1305 && state_->ctr && state_->mac_k, "out of memory");
  require(EVP_EncryptInit_ex(state_->ctr.get(), EVP_aes_256_ctr(), nullptr, raw(key.encrypt.data()),
                             nullptr) == 1 &&
              EVP_EncryptInit_ex(state_->mac_k.get(), EVP_aes_128_ecb(), nullptr,
                                 raw(key.mac_k.data()), nullptr) == 1 &&
              EVP_CIPHER_CTX_set_padding(state_->mac_k.get(), 0) == 1,
          "no AES");
  state_->mac_r = key.mac_r;  // Poly1305 clamps it
}

Sealer::~Sealer() = default;
Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;

void Sealer::seal_with_iv(ByteView iv, ByteView plaintext, MutableBytes out) {
  require(out.size() == plaintext.size() + kSealOverhead, "wrong size of the output");
  std::copy(iv.begin(), iv.end(), out.begin());
  const MutableBytes ciphertext = out.subspan(kIvSize, plaintext.size());
  state_->crypt(iv, plaintext, ciphertext.data());
  state_->tag(iv, ciphertext, out.data() + kIvSize + plaintext.size());
}

void Sealer::seal(ByteView plaintext, MutableBytes out) {
  std::array<std::byte, kIvSize> iv;
  state_->random.fill(iv);
  // Readers refuse the all-zero IV. Meeting it once is as likely as guessing a key: the source is
  // broken.
  require(!all_zero(iv), "the random source yields zeros");
  seal_with_iv(iv, plaintext, out);
}

Buffer Sealer::seal(ByteView plaintext) {
  Buffer out(plaintext.size() + kSealOverhead);
  seal(plaintext, out.bytes());
  return out;
}

bool Sealer::unseal(ByteView sealed, MutableBytes out) {
  if (sealed.size() < kSealOverhead) {
    return false;
  }
  const size_t size = sealed.size() - kSealOverhead;
  require(out.size() == size, "wrong size of the output");
  const ByteView iv = sealed.first(kIvSize);
  const ByteView ciphertext = sealed.subspan(kIvSize, size);
  std::array<std::byte, kTagSize> expected;
  if (all_zero(iv)) {
    return false;
  }
  state_->tag(iv, ciphertext, expected.data());
  if (CRYPTO_memcmp(expected.data(), sealed.last(kTagSize).data(), kTagSize) != 0) {
    return false;
  }
  state_->crypt(iv, ciphertext, out.data());
  return true;
}

std::optional<Buffer> Sealer::unseal(ByteView sealed) {
  Buffer out(sealed.size() < kSealOverhead ? 0 : sealed.size() - kSealOverhead);
  if (!unseal(sealed, out.bytes())) {
    return std::nullopt;
  }
  return out;
}

}  // namespace salvor
