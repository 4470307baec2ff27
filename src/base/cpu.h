// What this processor can do; kernels are chosen from it at run time.
#pragma once

namespace salvor {

struct CpuFeatures {
  bool sse41 = false;
  bool ssse3 = false;
  bool avx2 = false;
  bool avx512 = false;  // F, BW, DQ, VL, VBMI
  bool sha = false;     // SHA-NI
  bool gfni = false;    // with AVX-512 state enabled by the operating system
};

// Detected once. SALVOR_PORTABLE=1 in the environment turns every feature off, so that the portable
// kernels can be tested and measured on any machine. Thread-safe.
[[nodiscard]] const CpuFeatures& cpu_features();

}  // namespace salvor
