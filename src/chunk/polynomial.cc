#include "chunk/polynomial.h"

#include <bit>
#include <charconv>
#include <utility>

#include "base/error.h"

namespace salvor {
namespace {

constexpr int kDegree = 53;
constexpr int kMaxTries = 1'000'000;  // restic's limit; 26 tries are the average

int degree_of(uint64_t a) {
  return 63 - std::countl_zero(a);
}

// `p` must not be zero.
uint64_t remainder(uint64_t a, uint64_t p) {
  const int degree = degree_of(p);
  for (int d = degree_of(a); d >= degree; d = degree_of(a)) {
    a ^= p << (d - degree);
  }
  return a;
}

// a * a mod p, for deg a < deg p. Squaring spreads the coefficients (x^i becomes x^2i), so the
// powers above the degree of p are reduced one factor x at a time from the top: no 128-bit value is
// needed.
uint64_t square(uint64_t a, uint64_t p) {
  const int degree = degree_of(p);
  uint64_t product = 0;
  for (int i = degree_of(a); i >= 0; --i) {
    // Twice: product *= x, reduced. The bit shifted out is known from bit degree-1.
    for (int step = 0; step < 2; ++step) {
      const bool carry = ((product >> (degree - 1)) & 1) != 0;
      product <<= 1;
      if (carry) {
        product ^= p;
      }
    }
    product ^= (a >> i) & 1;
  }
  return product;
}

uint64_t gcd(uint64_t a, uint64_t b) {
  while (b != 0) {
    a = remainder(a, b);
    std::swap(a, b);
  }
  return a;
}

}  // namespace

std::optional<Polynomial> Polynomial::parse(std::string_view hex) {
  constexpr size_t kMaxDigits = 16;
  if (hex.empty() || hex.size() > kMaxDigits) {
    return std::nullopt;
  }
  uint64_t bits = 0;
  const char* begin = hex.data();
  const char* end = begin + hex.size();
  const auto [stop, error] = std::from_chars(begin, end, bits, 16);
  if (error != std::errc() || stop != end) {
    return std::nullopt;
  }
  return Polynomial(bits);
}

Polynomial Polynomial::random(Random& random) {
  constexpr uint64_t kTop = uint64_t{1} << kDegree;
  for (int i = 0; i < kMaxTries; ++i) {
    const Polynomial candidate((random.next_u64() & (2 * kTop - 1)) | kTop | 1);
    if (candidate.irreducible()) {
      return candidate;
    }
  }
  throw Error(ErrorCode::kFailed, "no irreducible polynomial found in a million tries",
              "The source of random numbers does not work.");
}

std::string Polynomial::hex() const {
  char digits[16];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, bits_, 16);
  return {digits, end};
}

int Polynomial::degree() const {
  return degree_of(bits_);
}

bool Polynomial::irreducible() const {
  const int n = degree();
  if (n < 1) {
    return false;
  }
  // Every irreducible factor of degree i divides x^(2^i) - x, and a reducible polynomial has a
  // factor of degree n/2 or less.
  constexpr uint64_t kX = 2;
  uint64_t power = remainder(kX, bits_);
  for (int i = 1; i <= n / 2; ++i) {
    power = square(power, bits_);
    if (gcd(bits_, power ^ kX) != 1) {
      return false;
    }
  }
  return true;
}

}  // namespace salvor
