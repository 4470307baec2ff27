// The values that keys are made of (restic format, section 2).
#pragma once

#include <array>
#include <cstdint>

#include "base/random.h"

namespace salvor {

// The three secrets that seal everything. Wiped on destruction, never printed.
struct MasterKey {
  std::array<std::byte, 32> encrypt{};
  std::array<std::byte, 16> mac_k{};
  std::array<std::byte, 16> mac_r{};  // may be stored unclamped (restic >= 0.17); clamped on use

  MasterKey() = default;
  MasterKey(const MasterKey&) = default;
  MasterKey& operator=(const MasterKey&) = default;
  ~MasterKey();

  [[nodiscard]] static MasterKey random(Random& random);
  // No part is all zeros (restic refuses such keys).
  [[nodiscard]] bool valid() const;
};

// Cost of turning a password into a key (RFC 7914).
struct ScryptParameters {
  uint32_t n = 32768;  // cost; a power of two > 1
  uint32_t r = 8;
  uint32_t p = 5;
  friend bool operator==(const ScryptParameters&, const ScryptParameters&) = default;
};

}  // namespace salvor
