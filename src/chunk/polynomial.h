// Polynomials over GF(2) as restic uses them for content-defined chunking (restic format, section
// 10).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"

namespace salvor {

// Bit i is the coefficient of x^i. A value; all operations are pure.
class Polynomial {
 public:
  constexpr explicit Polynomial(uint64_t bits) : bits_(bits) {}

  // Hexadecimal as in `config`: no prefix; upper case accepted. Nothing when not hexadecimal or too
  // long.
  [[nodiscard]] static std::optional<Polynomial> parse(std::string_view hex);
  // An irreducible polynomial of degree 53, drawn the way restic draws it.
  [[nodiscard]] static Polynomial random(Random& random);

  [[nodiscard]] uint64_t bits() const { return bits_; }
  [[nodiscard]] std::string hex() const;  // lower case, no leading zeros
  [[nodiscard]] int degree() const;       // -1 for zero
  // Ben-Or's test.
  [[nodiscard]] bool irreducible() const;

  friend bool operator==(Polynomial, Polynomial) = default;

 private:
  uint64_t bits_;
};

}  // namespace salvor
