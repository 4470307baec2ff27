// Random bytes. Keys and IVs come from SystemRandom; tests pass a seeded source.
#pragma once

#include <memory>

#include "base/bytes.h"

namespace salvor {

// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;

  [[nodiscard]] uint64_t next_u64() {
    uint64_t value = 0;
    fill({reinterpret_cast<std::byte*>(&value), sizeof value});
    return value;
  }
};

// The kernel's CSPRNG (getrandom(2)), read ahead in small per-thread portions because one system
// call for each 16-byte IV would cost more than the encryption of a small blob. Portions are erased
// as they are used. Not usable across fork without exec. Throws Error if the kernel cannot deliver.
class SystemRandom final : public Random {
 public:
  void fill(MutableBytes out) override;
};

// A deterministic generator for tests; never use it for keys or IVs of real repositories.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed);
  ~SeededRandom() override;
  void fill(MutableBytes out) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
