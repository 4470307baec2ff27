#include "chunk/kernel.h"

#include "base/cpu.h"
#include "chunk/chunker.h"

namespace salvor {
namespace rabin {
namespace {

constexpr size_t kLanes = 5;  // more do not fit the 16 registers of x86-64
constexpr size_t kMaxRegion = size_t{72} * 1024;
constexpr size_t kMinRegion =
    size_t{2} * 1024;  // below, warming up the lanes costs more than they gain

// The fingerprint of the 64 bytes before `end`.
uint64_t fingerprint_before(const RabinTables& tables, const std::byte* end) {
  uint64_t h = 0;
  for (const std::byte* p = end - kChunkWindow; p < end; ++p) {
    h = tables.append(h, static_cast<uint64_t>(*p));
  }
  return h;
}

size_t scan_interleaved(const RabinTables& tables, const std::byte* first, size_t size) {
  const LanePlan<kLanes> plan(size, 1);
  const std::byte* at[kLanes];
  uint64_t h[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    at[lane] = first + plan.starts[lane];
    h[lane] = fingerprint_before(tables, at[lane]);
  }
  size_t best = size;
  size_t active = kLanes;  // lanes from here on can no longer hold the first hit
  for (size_t i = 0; i < plan.length; ++i) {
#pragma GCC unroll 8
    for (size_t lane = 0; lane < kLanes; ++lane) {
      h[lane] = tables.roll(h[lane], at[lane][i], (at[lane] - kChunkWindow)[i]);
      if ((h[lane] & kCutMask) == 0 && lane < active) [[unlikely]] {
        best = plan.starts[lane] + i;  // never behind an earlier one: see LanePlan
        active = lane;
      }
    }
    if (active == 0) [[unlikely]] {
      break;
    }
  }
  return best;
}

}  // namespace

const std::byte* find_portable(const RabinTables& tables, const std::byte* first,
                               const std::byte* last) {
  if (first >= last) {
    return last;
  }
  uint64_t h = fingerprint_before(tables, first);
  for (const std::byte* p = first; p < last; ++p) {
    h = tables.roll(h, *p, *(p - kChunkWindow));
    if ((h & kCutMask) == 0) {
      return p;
    }
  }
  return last;
}

const std::byte* find_interleaved(const RabinTables& tables, const std::byte* first,
                                  const std::byte* last) {
  if (last - first < static_cast<ptrdiff_t>(kMinRegion)) {
    return find_portable(tables, first, last);
  }
  return for_each_region(first, last, kMaxRegion, [&](const std::byte* region, size_t size) {
    return scan_interleaved(tables, region, size);
  });
}

}  // namespace rabin

std::span<const ChunkerKernel> chunker_kernels() {
  static const auto kernels = [] {
    struct List {
      std::array<ChunkerKernel, 4> items;
      size_t count = 0;
      void add(ChunkerKernel kernel) { items[count++] = kernel; }
    } list;
    list.add({"portable", rabin::find_portable});
    list.add({"interleaved", rabin::find_interleaved});
#if defined(__x86_64__)
    if (cpu_features().avx2) {
      list.add({"avx2", rabin::find_avx2});
    }
    if (cpu_features().gfni) {
      list.add({"gfni", rabin::find_gfni});
    }
#endif
    return list;
  }();
  return {kernels.items.data(), kernels.count};
}

const ChunkerKernel& chunker_kernel() {
  return chunker_kernels().back();
}

}  // namespace salvor
