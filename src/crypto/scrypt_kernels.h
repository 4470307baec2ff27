// The memory-hard part of scrypt (ROMix, RFC 7914, section 5), for several lanes at a time.
// Internal to scrypt; seen by its tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace salvor {

inline constexpr size_t kScryptMaxLanes = 4;

struct ScryptShape {
  uint32_t n;
  uint32_t r;
  // Only every stride-th table entry is kept (1 to n); the others are worked out again from the
  // one before when they are needed, which costs (stride - 1) / 2 times n more BlockMix calls on
  // top of 2 n.
  uint32_t stride;
};

// One of the p independent blocks.
struct ScryptLane {
  std::byte* block;  // 128 * r bytes, replaced by the result
  // 128 * r * ceil(n / stride) bytes, aligned to 64; left full of intermediate values.
  std::byte* table;
};

// Runs exactly the kernel's number of lanes. A lane may be given several times: it then does the
// same work in the same place. `scratch` is 384 * r bytes a lane, aligned to 64; left full of
// intermediate values.
using ScryptMix = void (*)(const ScryptLane* lanes, const ScryptShape& shape, std::byte* scratch);

struct ScryptKernel {
  std::string_view name;
  size_t lanes;
  ScryptMix mix;
};

// All that this processor can run: the portable one for a single lane first, the widest last.
[[nodiscard]] std::span<const ScryptKernel> scrypt_kernels();
// The fastest that carries `lanes` lanes or, if none does, the widest.
[[nodiscard]] const ScryptKernel& scrypt_kernel_for(size_t lanes);

}  // namespace salvor
