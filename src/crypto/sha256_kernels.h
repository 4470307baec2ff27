// The compression function of SHA-256, for one to four messages at a time. Internal to the hash;
// seen by its tests, fuzz target and benchmarks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/id.h"

namespace salvor {

inline constexpr size_t kSha256Block = 64;
inline constexpr size_t kSha256MaxLanes = 4;

// FIPS 180-4, 5.3.3.
inline constexpr std::array<uint32_t, 8> kSha256Initial{
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// One message in the making: its chaining value (not owned) and where its next block is.
struct Sha256Lane {
  uint32_t* state;  // 8 words
  const std::byte* data;
};

// Absorbs `blocks` (> 0) blocks of each lane and moves `data` behind them.
using Sha256Compress = void (*)(Sha256Lane* lanes, size_t blocks);

struct Sha256Kernel {
  std::string_view name;
  size_t lanes;  // how many messages are worth running together
  // compress[k - 1] takes exactly k lanes; null beyond `lanes`.
  std::array<Sha256Compress, kSha256MaxLanes> compress;
};

// All that this processor can run, best first; the last is OpenSSL's.
[[nodiscard]] std::span<const Sha256Kernel> sha256_kernels();
[[nodiscard]] const Sha256Kernel& sha256_kernel();

// sha256_many() with a kernel of the caller's choice.
void sha256_many(const Sha256Kernel& kernel, std::span<const ByteView> messages,
                 std::span<Digest> out);

}  // namespace salvor
