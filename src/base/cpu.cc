#include "base/cpu.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace salvor {
namespace {

CpuFeatures detect() {
  CpuFeatures features;
#if defined(__x86_64__)
  const char* portable = std::getenv("SALVOR_PORTABLE");
  if (portable != nullptr && *portable == '1') {
    return features;
  }
  __builtin_cpu_init();
  features.ssse3 = __builtin_cpu_supports("ssse3") != 0;
  features.sse41 = __builtin_cpu_supports("sse4.1") != 0;
  features.avx2 = __builtin_cpu_supports("avx2") != 0;
  features.avx512 =
      __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512vbmi") != 0;
  features.gfni = features.avx512 && __builtin_cpu_supports("gfni") != 0;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    features.sha = features.sse41 && (ebx & (1U << 29)) != 0;
  }
#endif
  return features;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace salvor
