#include "crypto/crc32c.h"

#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>

namespace salvor {
namespace {

TEST(Crc32c, IsCastagnolis) {
  // RFC 3720, appendix B.4, and the usual check value.
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283U);
  EXPECT_EQ(crc32c({}), 0U);
  std::array<std::byte, 32> bytes{};
  EXPECT_EQ(crc32c(bytes), 0x8a9136aaU);
  bytes.fill(std::byte{0xff});
  EXPECT_EQ(crc32c(bytes), 0x62a8ab43U);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i);
  }
  EXPECT_EQ(crc32c(bytes), 0x46dd794eU);
}

TEST(Crc32c, PiecesOfAnyLengthAreTheWhole) {
  std::array<std::byte, 100> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * 37);
  }
  const uint32_t whole = crc32c(bytes);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Crc32c pieces;
    pieces.update(ByteView(bytes).first(cut));
    pieces.update(ByteView(bytes).subspan(cut));
    EXPECT_EQ(pieces.value(), whole) << cut;
  }
}

// Long input is summed in three stretches side by side.
TEST(Crc32c, LongInputHasTheSumOfItsPieces) {
  std::vector<std::byte> bytes(10'000);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i * i * 37 + i / 256);
  }
  for (const size_t size : {3071U, 3072U, 3073U, 6144U, 9215U, 9216U, 9999U, 10'000U}) {
    Crc32c pieces;
    for (size_t at = 0; at < size; at += 7) {
      pieces.update(ByteView(bytes).subspan(at, std::min<size_t>(7, size - at)));
    }
    EXPECT_EQ(crc32c(ByteView(bytes).first(size)), pieces.value()) << size;
  }
}

}  // namespace
}  // namespace salvor
