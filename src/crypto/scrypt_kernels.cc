// ROMix (RFC 7914, section 5) is one long dependency chain: 96 dependent steps a block, three
// cycles each at best. A register of 256 bits carries two lanes through the same chain in the same
// time, one of 512 bits four in less than twice the time (then the shift units are the limit). The
// lanes' tables stay apart in memory; only registers mix them.
//
// Tables with a stride: the second phase needs entry j of the table for each of its n steps, but
// only entries whose index is a multiple of the stride are kept. A lane that needs another one
// parks its state, starts from the entry before and applies BlockMix until it has it, while the
// other lanes go on with whatever is next for them: every lane has a walk of its own, all advance
// one BlockMix at a time, and per-lane masks choose what goes in (scrypt_body.h). Lanes end at
// different times.
//
// Measured on Zen 4 with N 32768, r 8 (ms for a run of 1, 2, 4 lanes on one thread, tables already
// touched): stride 1: 37, 45, 70; stride 2: 43, 48, 80; stride 4: 59, 64, 105. OpenSSL: 72 a lane.
#include "crypto/scrypt_kernels.h"

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace salvor {
namespace {

// How far ahead of its use an entry's cache line is asked for.
constexpr size_t kPrefetchBlocks = 4;

namespace portable {
#define SALVOR_SCRYPT_TARGET
#define SALVOR_SCRYPT_WIDTH 1
#include "crypto/scrypt_body.h"
}  // namespace portable

#if defined(__x86_64__)
namespace avx2 {
#define SALVOR_SCRYPT_TARGET __attribute__((target("avx2")))
#define SALVOR_SCRYPT_WIDTH 2
#include "crypto/scrypt_body.h"
}  // namespace avx2

namespace avx512_one {
using Native = __m128i;
#define SALVOR_SCRYPT_XOR3 _mm_ternarylogic_epi32
#define SALVOR_SCRYPT_TARGET __attribute__((target("avx512f,avx512vl")))
#define SALVOR_SCRYPT_WIDTH 1
#include "crypto/scrypt_body.h"
}  // namespace avx512_one

namespace avx512_two {
using Native = __m256i;
#define SALVOR_SCRYPT_XOR3 _mm256_ternarylogic_epi32
#define SALVOR_SCRYPT_TARGET __attribute__((target("avx512f,avx512vl")))
#define SALVOR_SCRYPT_WIDTH 2
#include "crypto/scrypt_body.h"
}  // namespace avx512_two

namespace avx512_four {
using Native = __m512i;
#define SALVOR_SCRYPT_XOR3 _mm512_ternarylogic_epi32
#define SALVOR_SCRYPT_TARGET __attribute__((target("avx512f,avx512vl")))
#define SALVOR_SCRYPT_WIDTH 4
#include "crypto/scrypt_body.h"
}  // namespace avx512_four
#endif

std::vector<ScryptKernel> detect() {
  std::vector<ScryptKernel> kernels{{"portable-1", 1, portable::mix}};
#if defined(__x86_64__)
  if (cpu_features().avx2) {
    kernels.push_back({"avx2-2", 2, avx2::mix});
  }
  if (cpu_features().avx512) {
    kernels.push_back({"avx512-1", 1, avx512_one::mix});
    kernels.push_back({"avx512-2", 2, avx512_two::mix});
    kernels.push_back({"avx512-4", 4, avx512_four::mix});
  }
#endif
  return kernels;
}

}  // namespace

std::span<const ScryptKernel> scrypt_kernels() {
  static const std::vector<ScryptKernel> kernels = detect();
  return kernels;
}

const ScryptKernel& scrypt_kernel_for(size_t lanes) {
  const ScryptKernel* best = nullptr;
  for (const ScryptKernel& kernel : scrypt_kernels()) {
    const bool wider = best != nullptr && kernel.lanes > best->lanes;
    if (kernel.lanes >= lanes && !wider) {  // of two alike the later is the faster one
      best = &kernel;
    }
  }
  return best != nullptr ? *best : scrypt_kernels().back();
}

}  // namespace salvor
