// The low-level functions below are deprecated by OpenSSL 3 in favour of EVP, which hides the
// chaining value; we keep that ourselves, so that messages can be moved between kernels at any
// block.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/sha256.h"

#include <algorithm>

#include <openssl/sha.h>

#include "base/error.h"

namespace salvor {
namespace {

constexpr size_t kBlock = 64;

// Absorbs `blocks` whole blocks.
void compress(uint32_t* state, const std::byte* data, size_t blocks) {
  SHA256_CTX context{};
  context.md_len = SHA256_DIGEST_LENGTH;
  std::copy_n(state, 8, context.h);
  SHA256_Update(&context, data, blocks * kBlock);
  std::copy_n(context.h, 8, state);
}

}  // namespace

Digest sha256(ByteView message) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(message.data()), message.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::update(ByteView bytes) {
  const size_t held = length_ % kBlock;
  length_ += bytes.size();
  if (held > 0) {
    const size_t taken = std::min(bytes.size(), kBlock - held);
    std::copy_n(bytes.begin(), taken, pending_.begin() + held);
    bytes = bytes.subspan(taken);
    if (held + taken < kBlock) {
      return;
    }
    compress(state_.data(), pending_.data(), 1);
  }
  const size_t whole = bytes.size() / kBlock;
  if (whole > 0) {
    compress(state_.data(), bytes.data(), whole);
  }
  std::copy(bytes.begin() + whole * kBlock, bytes.end(), pending_.begin());
}

Digest Sha256::finish() {
  const uint64_t bits = length_ * 8;
  const size_t held = length_ % kBlock;
  std::array<std::byte, 2 * kBlock> tail{};
  std::copy_n(pending_.begin(), held, tail.begin());
  tail[held] = std::byte{0x80};
  const size_t blocks = held + 9 <= kBlock ? 1 : 2;
  for (size_t i = 0; i < 8; ++i) {
    tail[blocks * kBlock - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
  }
  compress(state_.data(), tail.data(), blocks);
  Digest digest;
  for (size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::byte>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

void sha256_update_many(std::span<Sha256Update> updates) {
  for (const Sha256Update& update : updates) {
    update.hash->update(update.bytes);
  }
}

void sha256_many(std::span<const ByteView> messages, std::span<Digest> out) {
  if (messages.size() != out.size()) {
    throw Error(ErrorCode::kFailed, "sha256_many: as many digests as messages are needed");
  }
  std::transform(messages.begin(), messages.end(), out.begin(), sha256);
}

std::string_view sha256_kernel_name() {
  return "openssl";
}

}  // namespace salvor
