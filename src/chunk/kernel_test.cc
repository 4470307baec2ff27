// Every kernel against a reference that works bit by bit. Candidates are rare in random data (1 in
// 2^20), so they are planted: the last three bytes of a window reach the low 24 bits of its
// fingerprint unreduced.
#include "chunk/kernel.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/cpu.h"
#include "base/random.h"
#include "chunk/chunker.h"
#include "support/reference_chunker.h"

namespace salvor {
namespace {

constexpr uint64_t kPolynomial = 0x3da3358b4dc173;
constexpr size_t kBefore = kChunkWindow;

class KernelTest : public ::testing::TestWithParam<ChunkerKernel> {
 protected:
  // Random bytes; the first 64 are the window before the range that is searched.
  static std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
    std::vector<std::byte> bytes(size);
    SeededRandom(seed).fill(bytes);
    return bytes;
  }

  // Makes the fingerprint of the window that ends with bytes[p] end in the 24 bits `low`.
  void plant(std::vector<std::byte>& bytes, size_t p, uint32_t low) const {
    for (size_t i = 0; i < 3; ++i) {
      bytes[p - i] = std::byte{0};
    }
    const ByteView window = ByteView(bytes).subspan(p - kChunkWindow + 1, kChunkWindow);
    const uint64_t last = reference_.fingerprint(window) ^ low;
    for (size_t i = 0; i < 3; ++i) {
      bytes[p - i] = static_cast<std::byte>(last >> (8 * i));
    }
  }

  // Compares all answers that a chunker could get from bytes[from..]: the first hit, the first
  // after that ...
  void expect_same_hits(const std::vector<std::byte>& bytes, size_t from = kBefore,
                        size_t max_hits = 50) const {
    std::vector<size_t> expected = reference_.candidates(bytes);
    expected.erase(expected.begin(), std::lower_bound(expected.begin(), expected.end(), from));
    const std::byte* end = bytes.data() + bytes.size();
    const std::byte* at = bytes.data() + from;
    for (size_t i = 0; i < std::min(expected.size(), max_hits); ++i) {
      const std::byte* hit = GetParam().find(tables_, at, end);
      ASSERT_EQ(hit - bytes.data(), static_cast<ptrdiff_t>(expected[i])) << "hit " << i;
      at = hit + 1;
    }
    if (expected.size() < max_hits) {
      ASSERT_EQ(GetParam().find(tables_, at, end), end);
    }
  }

  RabinTables tables_{Polynomial(kPolynomial)};
  testing::ReferenceChunker reference_{kPolynomial};
};

TEST_P(KernelTest, FindsHitsAtEveryOffsetOfARange) {
  constexpr size_t kSizes[] = {1, 2, 63, 64, 65, 2047, 2048, 2049, 4095, 4096, 4097, 9000, 131072};
  for (const size_t size : kSizes) {
    const std::vector<std::byte> quiet = random_bytes(kBefore + size, 1);
    ASSERT_TRUE(reference_.candidates(quiet).empty());
    for (size_t p = 0; p < size; p += 1 + size / 300) {
      std::vector<std::byte> bytes = quiet;
      plant(bytes, kBefore + p, 0);
      const std::byte* first = bytes.data() + kBefore;
      ASSERT_EQ(GetParam().find(tables_, first, first + size) - first, static_cast<ptrdiff_t>(p))
          << "of " << size;
      ASSERT_EQ(GetParam().find(tables_, first, first + p), first + p) << "of " << size;
    }
  }
}

TEST_P(KernelTest, LooksAtExactlyTwentyBits) {
  constexpr size_t kSize = 20000;
  for (uint32_t bit = 0; bit < 24; ++bit) {
    std::vector<std::byte> bytes = random_bytes(kBefore + kSize, 2);
    const size_t p = kBefore + size_t{700} * (bit + 1);
    plant(bytes, p, uint32_t{1} << bit);
    const std::byte* end = bytes.data() + bytes.size();
    const std::byte* expected = bit < 20 ? end : bytes.data() + p;
    ASSERT_EQ(GetParam().find(tables_, bytes.data() + kBefore, end), expected) << "bit " << bit;
  }
}

TEST_P(KernelTest, AgreesOnRandomData) {
  // Long enough for dozens of natural candidates.
  expect_same_hits(random_bytes(size_t{24} << 20, 3));
}

TEST_P(KernelTest, AgreesOnManyPlantedHits) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 60; ++round) {
    const size_t size = 1 + random() % 400'000;
    std::vector<std::byte> bytes = random_bytes(kBefore + size, random());
    for (uint64_t hits = random() % 40; hits > 0; --hits) {
      plant(bytes, kBefore + random() % size, static_cast<uint32_t>(random() % 2) << 20);
    }
    SCOPED_TRACE(round);
    expect_same_hits(bytes);
  }
}

TEST_P(KernelTest, AgreesOnRunsAndPeriods) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::byte> bytes = random_bytes(kBefore + 1 + random() % 300'000, random());
    for (int runs = 0; runs < 5; ++runs) {
      const size_t start = random() % bytes.size();
      const size_t length = std::min(bytes.size() - start, random() % 100'000);
      // Period 0: zeros. Periods that hold a candidate repeat it for ever.
      const size_t period = random() % 3 == 0 ? 0 : 1 + random() % 200;
      for (size_t i = 0; i < length; ++i) {
        bytes[start + i] = period == 0  ? std::byte{0}
                           : i < period ? bytes[start + i]
                                        : bytes[start + i - period];
      }
    }
    SCOPED_TRACE(round);
    expect_same_hits(bytes);
    expect_same_hits(bytes, std::min(bytes.size(), kBefore + random() % bytes.size()));
  }
}

TEST_P(KernelTest, AgreesForOtherPolynomials) {
  SeededRandom source(6);
  for (int round = 0; round < 8; ++round) {
    const uint64_t polynomial = Polynomial::random(source).bits();
    tables_ = RabinTables(Polynomial(polynomial));
    reference_ = testing::ReferenceChunker(polynomial);
    std::vector<std::byte> bytes = random_bytes(200'000, source.next_u64());
    for (size_t p = 1000; p < bytes.size(); p += 9973) {
      plant(bytes, p, 0);
    }
    SCOPED_TRACE(polynomial);
    expect_same_hits(bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, KernelTest,
                         ::testing::ValuesIn(chunker_kernels().begin(), chunker_kernels().end()),
                         [](const auto& kernel) { return std::string(kernel.param.name); });

TEST(Kernels, AreChosenByProcessor) {
  const auto kernels = chunker_kernels();
  ASSERT_GE(kernels.size(), 2U);
  EXPECT_EQ(kernels[0].name, "portable");
  EXPECT_EQ(kernels[1].name, "interleaved");
  const std::string_view best = cpu_features().gfni   ? "gfni"
                                : cpu_features().avx2 ? "avx2"
                                                      : "interleaved";
  EXPECT_EQ(chunker_kernel_name(), best);
}

}  // namespace
}  // namespace salvor
