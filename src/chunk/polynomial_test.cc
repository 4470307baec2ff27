#include "chunk/polynomial.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "support/test_data.h"

namespace salvor {
namespace {

nlohmann::json vectors() {
  std::ifstream file(test::test_data("chunker.json"));
  return nlohmann::json::parse(file);
}

Polynomial parsed(const std::string& hex) {
  const auto polynomial = Polynomial::parse(hex);
  return polynomial ? *polynomial : throw std::runtime_error("bad vector " + hex);
}

// Delivers given 64-bit values, then fails.
class ScriptedRandom final : public Random {
 public:
  explicit ScriptedRandom(std::vector<std::array<std::byte, 8>> values)
      : values_(std::move(values)) {}
  void fill(MutableBytes out) override {
    ASSERT_EQ(out.size(), 8U);
    ASSERT_LT(next_, values_.size());
    std::memcpy(out.data(), values_[next_++].data(), 8);
  }
  [[nodiscard]] size_t used() const { return next_; }

 private:
  std::vector<std::array<std::byte, 8>> values_;
  size_t next_ = 0;
};

class BrokenRandom final : public Random {
 public:
  void fill(MutableBytes out) override { std::fill(out.begin(), out.end(), std::byte{0}); }
};

TEST(Polynomial, KnowsReducibleFromIrreducible) {
  const auto data = vectors();
  for (const auto& entry : data["irreducible"]) {
    const auto hex = entry["polynomial"].get<std::string>();
    EXPECT_EQ(parsed(hex).irreducible(), entry["irreducible"].get<bool>()) << hex;
  }
  size_t irreducible = 0;
  for (const auto& entry : data["candidate_test"]) {
    const auto hex = entry["candidate"].get<std::string>();
    const bool expected = entry["irreducible"].get<bool>();
    EXPECT_EQ(parsed(hex).irreducible(), expected) << hex;
    irreducible += expected ? 1 : 0;
  }
  EXPECT_GT(irreducible, 0U);
}

// Sieve of Eratosthenes over the polynomials of degree < 12: every verdict, not samples.
TEST(Polynomial, AgreesWithTrialDivisionForSmallDegrees) {
  constexpr uint64_t kEnd = 1 << 12;
  std::vector<bool> composite(kEnd, false);
  for (uint64_t a = 2; a < kEnd; ++a) {
    for (uint64_t b = 2; b < kEnd; ++b) {
      uint64_t product = 0;
      for (int i = 0; i < 12; ++i) {
        product ^= ((b >> i) & 1) != 0 ? a << i : 0;
      }
      if (product < kEnd) {
        composite[product] = true;
      }
    }
  }
  EXPECT_FALSE(Polynomial(0).irreducible());
  EXPECT_FALSE(Polynomial(1).irreducible());
  for (uint64_t p = 2; p < kEnd; ++p) {
    EXPECT_EQ(Polynomial(p).irreducible(), !composite[p]) << p;
  }
}

TEST(Polynomial, HandlesTheHighestDegree) {
  // x^63 + x + 1 is a well-known primitive trinomial; x^63 + 1 has the factor x + 1.
  EXPECT_TRUE(Polynomial((uint64_t{1} << 63) | 3).irreducible());
  EXPECT_FALSE(Polynomial((uint64_t{1} << 63) | 1).irreducible());
  EXPECT_EQ(Polynomial(uint64_t{1} << 63).degree(), 63);
}

TEST(Polynomial, DrawsAsResticDoes) {
  const auto data = vectors();
  std::vector<std::array<std::byte, 8>> raw;
  std::string expected;
  size_t expected_tries = 0;
  for (const auto& entry : data["candidate_test"]) {
    auto& value = raw.emplace_back();
    ASSERT_TRUE(from_hex(entry["raw8_hex"].get<std::string>(), value));
    if (expected.empty() && entry["irreducible"].get<bool>()) {
      expected = entry["candidate"].get<std::string>();
      expected_tries = raw.size();
    }
  }
  ASSERT_FALSE(expected.empty());
  ScriptedRandom random(std::move(raw));
  EXPECT_EQ(Polynomial::random(random).hex(), expected);
  EXPECT_EQ(random.used(), expected_tries);
}

TEST(Polynomial, RandomOnesAreFitForAConfig) {
  SeededRandom random(20);
  std::vector<uint64_t> drawn;
  for (int i = 0; i < 20; ++i) {
    const Polynomial p = Polynomial::random(random);
    EXPECT_EQ(p.degree(), 53);
    EXPECT_TRUE(p.irreducible());
    EXPECT_EQ(p.bits() & 1, 1U);
    EXPECT_EQ(Polynomial::parse(p.hex()), p);
    drawn.push_back(p.bits());
  }
  std::sort(drawn.begin(), drawn.end());
  EXPECT_EQ(std::adjacent_find(drawn.begin(), drawn.end()), drawn.end());
}

TEST(Polynomial, GivesUpOnABrokenRandomSource) {
  BrokenRandom random;  // always x^53 + 1, which is reducible
  EXPECT_THROW((void)Polynomial::random(random), Error);
}

TEST(Polynomial, ParsesWhatConfigsHold) {
  EXPECT_EQ(Polynomial::parse("3da3358b4dc173"), Polynomial(0x3da3358b4dc173));
  EXPECT_EQ(Polynomial::parse("3DA3358B4DC173"), Polynomial(0x3da3358b4dc173));
  EXPECT_EQ(Polynomial::parse("003da3358b4dc173"), Polynomial(0x3da3358b4dc173));
  EXPECT_EQ(Polynomial::parse("0"), Polynomial(0));
  EXPECT_EQ(Polynomial::parse("ffffffffffffffff"), Polynomial(~uint64_t{0}));
  for (const char* bad :
       {"", " ", "0x3d", "3da3358b4dc17g", "-1", "+1", "3da 3", "00003da3358b4dc173"}) {
    EXPECT_EQ(Polynomial::parse(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(Polynomial(0x3da3358b4dc173).hex(), "3da3358b4dc173");
  EXPECT_EQ(Polynomial(0).hex(), "0");
  EXPECT_EQ(Polynomial(0).degree(), -1);
  EXPECT_EQ(Polynomial(1).degree(), 0);
}

}  // namespace
}  // namespace salvor
