// 32 lanes in byte slices, with nibble look-ups (PSHUFB). The method is that of kernel_gfni.cc,
// which explains it; a product with an 8x8 bit matrix is here the sum of two look-ups of 16
// entries.
#if defined(__x86_64__)

#include <algorithm>
#include <bit>

#include <immintrin.h>

#include "chunk/chunker.h"
#include "chunk/kernel.h"

#define SALVOR_AVX2 __attribute__((target("avx2")))

namespace salvor::rabin {
namespace {

constexpr size_t kLanes = 32;
constexpr size_t kSteps = 64;
static_assert(kSteps == kChunkWindow, "the outgoing bytes of a block are the block before");
constexpr size_t kMaxRegion =
    size_t{72} * 1024;  // more wastes work behind hits, less warms up more often
constexpr size_t kMinRegion = size_t{2} * 1024;

// step[i] = byte i of every lane.
struct alignas(32) Block {
  __m256i step[kSteps];
};

struct Planes {
  __m256i plane[kPlanes];
};

struct Product {
  __m256i low;
  __m256i high;
};

struct Tables {
  Product append[kPlanes];
  Product remove[kPlanes];
};

SALVOR_AVX2 inline __m256i load_twice(const std::array<uint8_t, 16>& table) {
  return _mm256_broadcastsi128_si256(
      _mm_load_si128(reinterpret_cast<const __m128i*>(table.data())));
}

SALVOR_AVX2 inline Product load_product(const RabinTables::Nibbles& nibbles) {
  return {load_twice(nibbles.low), load_twice(nibbles.high)};
}

SALVOR_AVX2 Tables load_tables(const RabinTables& tables) {
  Tables loaded;
  for (size_t k = 0; k < kPlanes; ++k) {
    loaded.append[k] = load_product(tables.append_nibbles[k]);
    loaded.remove[k] = load_product(tables.remove_nibbles[k]);
  }
  return loaded;
}

// Bytes split into nibbles, the indices of look-ups.
SALVOR_AVX2 inline Product split(__m256i bytes) {
  const __m256i nibble = _mm256_set1_epi8(0x0f);
  return {_mm256_and_si256(bytes, nibble), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble)};
}

SALVOR_AVX2 inline __m256i multiply(const Product& table, const Product& bytes) {
  return _mm256_xor_si256(_mm256_shuffle_epi8(table.low, bytes.low),
                          _mm256_shuffle_epi8(table.high, bytes.high));
}

// Transposes the 16x16 bytes in each 128-bit half: byte j of row i becomes byte i of row j.
// Four rounds of the same interleaving of rows i and i+8: each rotates the 8-bit number (row,
// column) by one bit, so four exchange row and column.
SALVOR_AVX2 inline void transpose_halves(__m256i (&row)[16]) {
  __m256i other[16];
  for (int round = 0; round < 2; ++round) {
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      other[2 * i] = _mm256_unpacklo_epi8(row[i], row[i + 8]);
      other[2 * i + 1] = _mm256_unpackhi_epi8(row[i], row[i + 8]);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      row[2 * i] = _mm256_unpacklo_epi8(other[i], other[i + 8]);
      row[2 * i + 1] = _mm256_unpackhi_epi8(other[i], other[i + 8]);
    }
  }
}

// Loads 64 bytes of every lane at `offset` from its start, transposed.
SALVOR_AVX2 void load_block(const std::byte* first, const LanePlan<kLanes>& plan, ptrdiff_t offset,
                            Block& block) {
  for (size_t part = 0; part < kSteps; part += 32) {
    // Rows of lanes 0..15 fill the low halves of the steps, those of lanes 16..31 the high ones.
    for (size_t half = 0; half < 2; ++half) {
      __m256i row[16];
      for (size_t i = 0; i < 16; ++i) {
        const std::byte* at =
            first + plan.starts[16 * half + i] + offset + static_cast<ptrdiff_t>(part);
        row[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
        if (part == 0) {
          _mm_prefetch(reinterpret_cast<const char*>(at + 2 * kSteps), _MM_HINT_T0);
        }
      }
      transpose_halves(row);
      for (size_t i = 0; i < 16; ++i) {
        auto* to = reinterpret_cast<__m128i*>(&block.step[part + i]) + half;
        _mm_store_si128(to, _mm256_castsi256_si128(row[i]));
        _mm_store_si128(to + 32, _mm256_extracti128_si256(row[i], 1));
      }
    }
  }
}

// Runs all lanes over one block. A byte of the result is zero if and only if its lane had a hit.
// With kRecord, (*outcomes).step[i] says the same for step i.
template <bool kRecord>
SALVOR_AVX2 __m256i run_block(const Tables& tables, Planes& planes, const Block& incoming,
                              const Block& outgoing, Block* outcomes) {
  const __m256i stays = _mm256_set1_epi8(static_cast<char>(0xf8));  // incoming << 3: in plane 0
  const __m256i moves = _mm256_set1_epi8(0x07);                     // incoming >> 5: in plane 1
  const __m256i decisive = _mm256_set1_epi8(0x7f);  // plane 2: bits 13..19 of the fingerprint
  Planes now = planes;
  __m256i least = _mm256_set1_epi8(-1);
  for (size_t step = 0; step < kSteps; ++step) {
    const __m256i in = incoming.step[step];
    const Product out = split(outgoing.step[step]);
    const Product top = split(now.plane[kPlanes - 1]);
#pragma GCC unroll 8
    for (size_t i = 1; i < kPlanes; ++i) {
      const size_t k = kPlanes - i;
      now.plane[k] =
          _mm256_xor_si256(_mm256_xor_si256(now.plane[k - 1], multiply(tables.remove[k], out)),
                           multiply(tables.append[k], top));
    }
    now.plane[1] =
        _mm256_xor_si256(now.plane[1], _mm256_and_si256(_mm256_srli_epi16(in, 5), moves));
    now.plane[0] =
        _mm256_xor_si256(_mm256_xor_si256(_mm256_and_si256(_mm256_slli_epi16(in, 3), stays),
                                          multiply(tables.remove[0], out)),
                         multiply(tables.append[0], top));
    const __m256i outcome = _mm256_or_si256(_mm256_or_si256(now.plane[0], now.plane[1]),
                                            _mm256_and_si256(now.plane[2], decisive));
    least = _mm256_min_epu8(least, outcome);
    if constexpr (kRecord) {
      outcomes->step[step] = outcome;
    }
  }
  planes = now;
  return least;
}

SALVOR_AVX2 inline uint32_t zero_bytes(__m256i bytes) {
  return static_cast<uint32_t>(
      _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256())));
}

SALVOR_AVX2 size_t scan(const RabinTables& rabin_tables, const std::byte* first, size_t size) {
  const LanePlan<kLanes> plan(size, kSteps);
  const Tables tables = load_tables(rabin_tables);
  Block blocks[2];
  Block outcomes;
  Planes planes;
  for (__m256i& plane : planes.plane) {
    plane = _mm256_setzero_si256();
  }
  // The window before each lane: nothing leaves, and hits there are not ours.
  std::fill_n(blocks[1].step, kSteps, _mm256_setzero_si256());
  load_block(first, plan, -static_cast<ptrdiff_t>(kChunkWindow), blocks[0]);
  run_block<false>(tables, planes, blocks[0], blocks[1], nullptr);

  size_t best = size;
  uint32_t active = ~uint32_t{0};  // lanes that may still hold the first hit
  for (size_t done = 0; done < plan.length && active != 0; done += kSteps) {
    Block& outgoing = blocks[(done / kSteps) % 2];
    Block& incoming = blocks[(done / kSteps + 1) % 2];
    // The block that is overwritten was the outgoing side two rounds ago.
    load_block(first, plan, static_cast<ptrdiff_t>(done), incoming);
    Planes before = planes;
    const __m256i least = run_block<false>(tables, planes, incoming, outgoing, nullptr);
    if ((zero_bytes(least) & active) == 0) [[likely]] {
      continue;
    }
    run_block<true>(tables, before, incoming, outgoing, &outcomes);
    for (size_t i = 0; i < kSteps; ++i) {
      const uint32_t hits = zero_bytes(outcomes.step[i]) & active;
      if (hits != 0) {
        const auto lane = static_cast<size_t>(std::countr_zero(hits));
        best = plan.starts[lane] + done + i;  // never behind an earlier one: see LanePlan
        active &= (uint32_t{1} << lane) - 1;
      }
    }
  }
  return best;
}

}  // namespace

const std::byte* find_avx2(const RabinTables& tables, const std::byte* first,
                           const std::byte* last) {
  if (last - first < static_cast<ptrdiff_t>(kMinRegion)) {
    return find_portable(tables, first, last);
  }
  return for_each_region(first, last, kMaxRegion, [&](const std::byte* region, size_t size) {
    return scan(tables, region, size);
  });
}

}  // namespace salvor::rabin

#endif  // x86-64
