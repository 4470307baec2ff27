// 64 lanes in byte slices, with the bit-matrix instruction of GFNI.
//
// Problem: a step of the rolling fingerprint is two look-ups by byte, and processors have few load
// ports. Method: the step is linear over GF(2). Keep the 53-bit fingerprints of 64 lanes as 7
// vectors
// ("planes"): plane k holds byte k of h * x^3 of every lane. Multiplying by x^8 then only renames
// the planes; the top plane t leaves and is added back reduced, t * x^53 mod P, which costs one 8x8
// bit matrix a plane (GF2P8AFFINEQB works on 64 bytes at once); the outgoing byte costs another 7
// matrices:
//     plane[k] = plane[k-1] ^ A[k] * t ^ R[k] * outgoing          k = 6 .. 0
// plus the incoming byte, shifted by 3, in planes 0 and 1. The 20 bits that decide about a cut are
// planes 0, 1 and 7 bits of plane 2.
//
// The lanes lie far apart in memory, so 64 bytes of each are loaded and transposed together: a
// *block* is 64 lanes x 64 steps. The previous block is the outgoing side. A block is run without
// looking where hits are (only the byte-wise minimum of all outcomes is kept), and run again in the
// rare case that there is one.
#if defined(__x86_64__)

#include <algorithm>
#include <bit>

// GCC 12's own headers use an uninitialised variable to say "undefined" (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include "chunk/chunker.h"
#include "chunk/kernel.h"

#define SALVOR_GFNI __attribute__((target("avx512f,avx512bw,avx512vbmi,gfni")))

namespace salvor::rabin {
namespace {

constexpr size_t kLanes = 64;
constexpr size_t kSteps = 64;
static_assert(kSteps == kChunkWindow, "the outgoing bytes of a block are the block before");
constexpr size_t kMaxRegion =
    size_t{72} * 1024;  // more wastes work behind hits, less warms up more often
constexpr size_t kMinRegion = size_t{2} * 1024;
constexpr int kXor3 = 0x96;     // ternary logic: a ^ b ^ c
constexpr int kOrOfAnd = 0xf8;  // a | (b & c)

// The incoming byte times x^3, as matrices: what stays in plane 0, what reaches plane 1.
constexpr int64_t kIncomingLow = 0x0000000102040810;
constexpr int64_t kIncomingHigh = 0x2040800000000000;

// step[i] = byte i of every lane.
struct alignas(64) Block {
  __m512i step[kSteps];
};

struct Planes {
  __m512i plane[kPlanes];
};

struct Matrices {
  __m512i append[kPlanes];
  __m512i remove[kPlanes];
};

SALVOR_GFNI inline __m512i multiply(__m512i matrix, __m512i bytes) {
  return _mm512_gf2p8affine_epi64_epi8(bytes, matrix, 0);
}

SALVOR_GFNI Matrices load_matrices(const RabinTables& tables) {
  Matrices matrices;
  for (size_t k = 0; k < kPlanes; ++k) {
    matrices.append[k] = _mm512_set1_epi64(static_cast<int64_t>(tables.append_matrix[k]));
    matrices.remove[k] = _mm512_set1_epi64(static_cast<int64_t>(tables.remove_matrix[k]));
  }
  return matrices;
}

// Quadword j of row i becomes quadword i of row j.
SALVOR_GFNI inline void transpose_quadwords(__m512i (&row)[8]) {
  __m512i pair[8];
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; i += 2) {
    pair[i] = _mm512_unpacklo_epi64(row[i], row[i + 1]);      // even quadwords of two rows
    pair[i + 1] = _mm512_unpackhi_epi64(row[i], row[i + 1]);  // odd ones
  }
  // Now 4x4 transpositions of 128-bit parts, of pairs 0 2 4 6 and 1 3 5 7.
#pragma GCC unroll 8
  for (size_t odd = 0; odd < 2; ++odd) {
    const __m512i a = _mm512_shuffle_i64x2(pair[odd], pair[odd + 2], 0x88);
    const __m512i b = _mm512_shuffle_i64x2(pair[odd], pair[odd + 2], 0xdd);
    const __m512i c = _mm512_shuffle_i64x2(pair[odd + 4], pair[odd + 6], 0x88);
    const __m512i d = _mm512_shuffle_i64x2(pair[odd + 4], pair[odd + 6], 0xdd);
    row[odd] = _mm512_shuffle_i64x2(a, c, 0x88);
    row[odd + 4] = _mm512_shuffle_i64x2(a, c, 0xdd);
    row[odd + 2] = _mm512_shuffle_i64x2(b, d, 0x88);
    row[odd + 6] = _mm512_shuffle_i64x2(b, d, 0xdd);
  }
}

// Loads 64 bytes of every lane at `offset` from its start, transposed.
SALVOR_GFNI void load_block(const std::byte* first, const LanePlan<kLanes>& plan, ptrdiff_t offset,
                            Block& block) {
  // Byte j of quadword i becomes byte i of quadword j.
  const __m512i within = _mm512_set_epi64(
      0x3f372f271f170f07, 0x3e362e261e160e06, 0x3d352d251d150d05, 0x3c342c241c140c04,
      0x3b332b231b130b03, 0x3a322a221a120a02, 0x3931292119110901, 0x3830282018100800);
  Block groups;  // [8 * j + g]: quadword k = byte 8j+k of lanes 8g .. 8g+7
  for (size_t g = 0; g < 8; ++g) {
    __m512i row[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
      const std::byte* at = first + plan.starts[8 * g + i] + offset;
      row[i] = _mm512_loadu_si512(at);
      _mm_prefetch(reinterpret_cast<const char*>(at + 2 * kSteps), _MM_HINT_T0);
    }
    transpose_quadwords(row);
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; ++j) {
      groups.step[8 * j + g] = _mm512_permutexvar_epi8(within, row[j]);
    }
  }
  for (size_t j = 0; j < 8; ++j) {
    __m512i row[8];
#pragma GCC unroll 8
    for (size_t g = 0; g < 8; ++g) {
      row[g] = groups.step[8 * j + g];
    }
    transpose_quadwords(row);
#pragma GCC unroll 8
    for (size_t k = 0; k < 8; ++k) {
      block.step[8 * j + k] = row[k];
    }
  }
}

// Runs all lanes over one block. A byte of the result is zero if and only if its lane had a hit.
// With kRecord, (*outcomes).step[i] says the same for step i.
template <bool kRecord>
SALVOR_GFNI __m512i run_block(const Matrices& matrices, Planes& planes, const Block& incoming,
                              const Block& outgoing, Block* outcomes) {
  const __m512i low = _mm512_set1_epi64(kIncomingLow);
  const __m512i high = _mm512_set1_epi64(kIncomingHigh);
  const __m512i decisive = _mm512_set1_epi8(0x7f);  // plane 2: bits 13..19 of the fingerprint
  Planes now = planes;
  __m512i least = _mm512_set1_epi8(-1);
#pragma GCC unroll 8
  for (size_t step = 0; step < kSteps; ++step) {
    const __m512i in = incoming.step[step];
    const __m512i out = outgoing.step[step];
    const __m512i top = now.plane[kPlanes - 1];
#pragma GCC unroll 8
    for (size_t i = 1; i < kPlanes; ++i) {
      const size_t k = kPlanes - i;
      now.plane[k] = _mm512_ternarylogic_epi64(now.plane[k - 1], multiply(matrices.append[k], top),
                                               multiply(matrices.remove[k], out), kXor3);
    }
    now.plane[1] = _mm512_xor_si512(now.plane[1], multiply(high, in));
    now.plane[0] = _mm512_ternarylogic_epi64(multiply(low, in), multiply(matrices.append[0], top),
                                             multiply(matrices.remove[0], out), kXor3);
    const __m512i outcome = _mm512_or_si512(
        now.plane[0], _mm512_ternarylogic_epi64(now.plane[1], now.plane[2], decisive, kOrOfAnd));
    least = _mm512_min_epu8(least, outcome);
    if constexpr (kRecord) {
      outcomes->step[step] = outcome;
    }
  }
  planes = now;
  return least;
}

SALVOR_GFNI inline uint64_t zero_bytes(__m512i bytes) {
  return _mm512_testn_epi8_mask(bytes, bytes);
}

SALVOR_GFNI size_t scan(const RabinTables& tables, const std::byte* first, size_t size) {
  const LanePlan<kLanes> plan(size, kSteps);
  const Matrices matrices = load_matrices(tables);
  Block blocks[2];
  Block outcomes;
  Planes planes;
  for (__m512i& plane : planes.plane) {
    plane = _mm512_setzero_si512();
  }
  // The window before each lane: nothing leaves, and hits there are not ours.
  std::fill_n(blocks[1].step, kSteps, _mm512_setzero_si512());
  load_block(first, plan, -static_cast<ptrdiff_t>(kChunkWindow), blocks[0]);
  run_block<false>(matrices, planes, blocks[0], blocks[1], nullptr);

  size_t best = size;
  uint64_t active = ~uint64_t{0};  // lanes that may still hold the first hit
  for (size_t done = 0; done < plan.length && active != 0; done += kSteps) {
    Block& outgoing = blocks[(done / kSteps) % 2];
    Block& incoming = blocks[(done / kSteps + 1) % 2];
    load_block(first, plan, static_cast<ptrdiff_t>(done), incoming);
    Planes before = planes;
    const __m512i least = run_block<false>(matrices, planes, incoming, outgoing, nullptr);
    if ((zero_bytes(least) & active) == 0) [[likely]] {
      continue;
    }
    run_block<true>(matrices, before, incoming, outgoing, &outcomes);
    for (size_t i = 0; i < kSteps; ++i) {
      const uint64_t hits = zero_bytes(outcomes.step[i]) & active;
      if (hits != 0) {
        const auto lane = static_cast<size_t>(std::countr_zero(hits));
        best = plan.starts[lane] + done + i;  // never behind an earlier one: see LanePlan
        active &= (uint64_t{1} << lane) - 1;
      }
    }
  }
  return best;
}

}  // namespace

const std::byte* find_gfni(const RabinTables& tables, const std::byte* first,
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
