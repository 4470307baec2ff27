// The inner loop of the chunker: where is the first byte after which a cut is allowed?
//
// All kernels give the same answer; they differ in how many places they look at together. A *lane*
// is one such place, a sub-range that is walked byte by byte. A range is searched region by region,
// because what was looked at behind the first hit is wasted: a cut skips the next 512 KiB anyway.
//
// Dense hits (runs of equal bytes, periodic text): a hit in a lane makes that lane and all behind
// it uninteresting, and a hit in lane 0 ends the search. So a region has at most as many hits as
// lanes, and nothing is stored.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "chunk/rabin_tables.h"

namespace salvor {

struct ChunkerKernel {
  std::string_view name;
  // The first p in [first, last) such that the 64 bytes that end with *p have a fingerprint with 20
  // low zero bits; `last` when there is none. The 64 bytes before `first` must be readable.
  const std::byte* (*find)(const RabinTables& tables, const std::byte* first,
                           const std::byte* last);
};

// Those this processor can run, slowest first: "portable", "interleaved", then perhaps "avx2",
// "gfni".
[[nodiscard]] std::span<const ChunkerKernel> chunker_kernels();

// The fastest of them.
[[nodiscard]] const ChunkerKernel& chunker_kernel();

namespace rabin {

// One table-driven lane; best for a few hundred bytes.
const std::byte* find_portable(const RabinTables& tables, const std::byte* first,
                               const std::byte* last);
// Several table-driven lanes that hide each other's latency.
const std::byte* find_interleaved(const RabinTables& tables, const std::byte* first,
                                  const std::byte* last);
#if defined(__x86_64__)
// 32 lanes; needs AVX2.
const std::byte* find_avx2(const RabinTables& tables, const std::byte* first,
                           const std::byte* last);
// 64 lanes; needs GFNI and AVX-512 F, BW, VBMI.
const std::byte* find_gfni(const RabinTables& tables, const std::byte* first,
                           const std::byte* last);
#endif

// How a region is divided into lanes of equal length. The lanes cover the region; neighbours
// overlap by a few bytes where it does not divide evenly. Starts ascend.
template <size_t kLanes>
struct LanePlan {
  // `step`: lane lengths are a multiple of it; `size` must be at least `step`.
  LanePlan(size_t size, size_t step) {
    const size_t wanted = (size + kLanes - 1) / kLanes;
    length = (wanted + step - 1) / step * step;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      starts[lane] = lane * (size - length) / (kLanes - 1);
    }
  }
  size_t length;  // at most size
  std::array<size_t, kLanes> starts;
};

// Calls `scan(first, size)`, which returns the offset of the first hit or `size`, for regions of
// about equal size of at most `max_region` bytes. Returns the first hit or `last`.
template <typename Scan>
const std::byte* for_each_region(const std::byte* first, const std::byte* last, size_t max_region,
                                 Scan scan) {
  while (first < last) {
    const auto left = static_cast<size_t>(last - first);
    const size_t regions = (left + max_region - 1) / max_region;
    const size_t size = (left + regions - 1) / regions;
    const size_t hit = scan(first, size);
    if (hit < size) {
      return first + hit;
    }
    first += size;
  }
  return last;
}

}  // namespace rabin
}  // namespace salvor
