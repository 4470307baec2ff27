#include "crypto/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "base/cpu.h"

namespace salvor {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

// "Slicing by 8": table[k] advances a byte over k zero bytes.
constexpr uint32_t kReflected = 0x82f63b78;
constexpr uint64_t kOrder = 0x7fffffff;  // the least n with x^n = 1; x^0 is the highest bit

constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = uint32_t{1} << 31U; bit != 0; bit >>= 1U) {
    product ^= (a & bit) != 0 ? b : 0;
    b = (b >> 1U) ^ ((b & 1U) != 0 ? kReflected : 0);
  }
  return product;
}

// x to the powers of two.
constexpr std::array<uint32_t, 31> make_powers() {
  std::array<uint32_t, 31> powers{};
  powers[0] = uint32_t{1} << 30U;
  for (size_t k = 1; k < powers.size(); ++k) {
    powers[k] = multiply(powers[k - 1], powers[k - 1]);
  }
  return powers;
}

constexpr std::array<uint32_t, 31> kPowers = make_powers();
static_assert(multiply(kPowers[30], kPowers[30]) == kPowers[0], "x^(2^31) is x");

constexpr uint32_t times_power(uint32_t crc, uint64_t exponent) {
  for (size_t k = 0; exponent != 0; exponent >>= 1U, ++k) {
    if ((exponent & 1U) != 0) {
      crc = multiply(kPowers[k], crc);
    }
  }
  return crc;
}

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kReflected : 0);
    }
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8U) ^ tables[0][before & 0xffU];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

uint32_t update_portable(uint32_t crc, const std::byte* data, size_t size) {
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word = 0;
    std::memcpy(&word, data, sizeof word);
    word ^= crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) {
      crc ^= kTables[7 - k][(word >> (8 * k)) & 0xffU];
    }
  }
  for (; size > 0; ++data, --size) {
    crc = (crc >> 8U) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(*data)) & 0xffU];
  }
  return crc;
}

#if defined(__x86_64__)
// The instruction takes three cycles, but one can be begun in each: three stretches are summed side
// by side, and their sums joined as crc32c_append does, by tables.
constexpr size_t kStretch = 1024;

constexpr std::array<std::array<uint32_t, 256>, 4> make_skips() {
  std::array<std::array<uint32_t, 256>, 4> skips{};
  for (size_t k = 0; k < skips.size(); ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      skips[k][byte] = times_power(byte << (8 * k), 8 * kStretch);
    }
  }
  return skips;
}

constexpr std::array<std::array<uint32_t, 256>, 4> kSkips = make_skips();

// The sum moved on over kStretch zero bytes.
uint32_t skip_stretch(uint32_t crc) {
  return kSkips[0][crc & 0xffU] ^ kSkips[1][crc >> 8U & 0xffU] ^ kSkips[2][crc >> 16U & 0xffU] ^
         kSkips[3][crc >> 24U];
}

__attribute__((target("sse4.2"))) uint32_t update_sse42(uint32_t crc, const std::byte* data,
                                                        size_t size) {
  const auto word_at = [](const std::byte* at) {
    uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word;
  };
  for (; size >= 3 * kStretch; data += 3 * kStretch, size -= 3 * kStretch) {
    uint64_t first = crc;
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t at = 0; at < kStretch; at += 8) {
      first = _mm_crc32_u64(first, word_at(data + at));
      second = _mm_crc32_u64(second, word_at(data + kStretch + at));
      third = _mm_crc32_u64(third, word_at(data + 2 * kStretch + at));
    }
    const uint32_t joined =
        skip_stretch(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
    crc = skip_stretch(joined) ^ static_cast<uint32_t>(third);
  }
  uint64_t wide = crc;
  for (; size >= 8; data += 8, size -= 8) {
    wide = _mm_crc32_u64(wide, word_at(data));
  }
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; ++data, --size) {
    crc = _mm_crc32_u8(crc, std::to_integer<uint8_t>(*data));
  }
  return crc;
}
#endif

}  // namespace

uint32_t crc32c_append(uint32_t crc, uint64_t bytes) {
  return times_power(crc, bytes % kOrder * 8 % kOrder);
}

uint32_t crc32c_remove(uint32_t crc, uint64_t bytes) {
  return times_power(crc, (kOrder - bytes % kOrder * 8 % kOrder) % kOrder);
}

void Crc32c::update(ByteView bytes) {
#if defined(__x86_64__)
  if (cpu_features().avx2) {  // which implies SSE 4.2
    state_ = update_sse42(state_, bytes.data(), bytes.size());
    return;
  }
#endif
  state_ = update_portable(state_, bytes.data(), bytes.size());
}

}  // namespace salvor
