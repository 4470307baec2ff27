#include "crypto/seal.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/crypto_vectors.h"

namespace salvor {

class SealerTestPeer {
 public:
  static Buffer seal_with_iv(Sealer& sealer, ByteView iv, ByteView plaintext) {
    Buffer out(plaintext.size() + kSealOverhead);
    sealer.seal_with_iv(iv, plaintext, out.bytes());
    return out;
  }
};

namespace {

using testing::crypto_vectors;
using testing::unhex;

constexpr uint64_t kSeed = 9;

// A random source that is broken.
class Zeros final : public Random {
 public:
  void fill(MutableBytes out) override { std::fill(out.begin(), out.end(), std::byte{0}); }
};

MasterKey key_of(const nlohmann::json& v, const char* mac_r) {
  MasterKey key;
  EXPECT_TRUE(from_hex(v["encrypt_hex"].get<std::string>(), key.encrypt));
  EXPECT_TRUE(from_hex(v["mac_k_hex"].get<std::string>(), key.mac_k));
  EXPECT_TRUE(from_hex(v[mac_r].get<std::string>(), key.mac_r));
  return key;
}

TEST(Sealer, WritesAndReadsResticsBytes) {
  SeededRandom random(kSeed);
  for (const auto& v : crypto_vectors("seal")) {
    // Stored clamped (restic up to 0.16) or not (0.17 on): the same key.
    for (const char* mac_r : {"mac_r_hex", "mac_r_clamped_hex"}) {
      if (!v.contains(mac_r)) {
        continue;
      }
      Sealer sealer(key_of(v, mac_r), random);
      const Buffer plaintext = unhex(v["plaintext_hex"]);
      const Buffer sealed =
          SealerTestPeer::seal_with_iv(sealer, unhex(v["nonce_hex"]).view(), plaintext.view());
      EXPECT_EQ(to_hex(sealed.view()), v["sealed_hex"].get<std::string>());
      const auto opened = sealer.unseal(unhex(v["sealed_hex"]).view());
      ASSERT_TRUE(opened.has_value());
      EXPECT_EQ(to_hex(opened->view()), to_hex(plaintext.view()));
    }
  }
}

// Poly1305-AES alone: a message is authentic under the published key and nonce with the published
// tag.
TEST(Sealer, AcceptsThePublishedTagsAndNoOthers) {
  SeededRandom random(kSeed);
  for (const auto& v : crypto_vectors("poly1305_aes")) {
    MasterKey key = MasterKey::random(random);
    ASSERT_TRUE(from_hex(v["k_hex"].get<std::string>(), key.mac_k));
    ASSERT_TRUE(from_hex(v["r_hex"].get<std::string>(), key.mac_r));
    Sealer sealer(key, random);
    Buffer sealed = unhex(v["nonce_hex"]);
    sealed.append(unhex(v["msg_hex"]).view());
    sealed.append(unhex(v["mac_hex"]).view());
    EXPECT_TRUE(sealer.unseal(sealed.view()).has_value());
    sealed.bytes().back() ^= std::byte{1};
    EXPECT_FALSE(sealer.unseal(sealed.view()).has_value());
  }
}

TEST(Sealer, EveryFlippedBitIsRefusedAndNothingIsWritten) {
  SeededRandom random(kSeed);
  Sealer sealer(MasterKey::random(random), random);
  for (const size_t size : {0U, 1U, 26U, 100U}) {
    const Buffer plain(Buffer::copy_of(as_bytes(std::string(size, 'p'))));
    Buffer sealed = sealer.seal(plain.view());
    const Buffer untouched = Buffer::copy_of(as_bytes(std::string(size, '#')));
    for (size_t i = 0; i < sealed.size(); ++i) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        const auto flip = static_cast<std::byte>(1U << bit);
        Buffer out = Buffer::copy_of(untouched.view());
        sealed.bytes()[i] ^= flip;
        ASSERT_FALSE(sealer.unseal(sealed.view(), out.bytes())) << i << ":" << bit;
        ASSERT_EQ(as_text(out.view()), as_text(untouched.view()));
        sealed.bytes()[i] ^= flip;
      }
    }
    EXPECT_TRUE(sealer.unseal(sealed.view()).has_value());
  }
}

TEST(Sealer, CutAndExtendedInputsAreRefused) {
  SeededRandom random(kSeed);
  Sealer sealer(MasterKey::random(random), random);
  Buffer sealed = sealer.seal(as_bytes("one hundred years of solitude"));
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(sealer.unseal(sealed.view(0, size)).has_value()) << size;
    EXPECT_FALSE(sealer.unseal(sealed.view(sealed.size() - size, size)).has_value()) << size;
  }
  sealed.append(std::string_view("\0", 1));
  EXPECT_FALSE(sealer.unseal(sealed.view()).has_value());
}

TEST(Sealer, AnotherKeyOpensNothing) {
  SeededRandom random(kSeed);
  const MasterKey key = MasterKey::random(random);
  const Buffer sealed = Sealer(key, random).seal(as_bytes("secret"));
  for (int part = 0; part < 2; ++part) {
    MasterKey other = key;
    (part == 0 ? other.mac_k : other.mac_r)[0] ^= std::byte{1};
    EXPECT_FALSE(Sealer(other, random).unseal(sealed.view()).has_value()) << part;
  }
}

TEST(Sealer, RefusesTheZeroIvOnBothSides) {
  SeededRandom random(kSeed);
  const MasterKey key = MasterKey::random(random);
  Sealer sealer(key, random);
  const std::array<std::byte, 16> zero_iv{};
  // Authentic in every other respect.
  const Buffer sealed = SealerTestPeer::seal_with_iv(sealer, zero_iv, as_bytes("x"));
  EXPECT_FALSE(sealer.unseal(sealed.view()).has_value());
  Zeros zeros;
  EXPECT_THROW((void)Sealer(key, zeros).seal(as_bytes("x")), Error);
}

TEST(Sealer, EverySealHasAFreshIv) {
  SystemRandom random;
  Sealer sealer(MasterKey::random(random), random);
  std::set<std::string> ivs;
  for (int i = 0; i < 1000; ++i) {
    ivs.insert(to_hex(sealer.seal(as_bytes("same")).view(0, 16)));
  }
  EXPECT_EQ(ivs.size(), 1000U);
}

TEST(Sealer, RoundTripsEveryLengthAndInPlace) {
  SeededRandom random(kSeed);
  Sealer sealer(MasterKey::random(random), random);
  for (size_t size = 0; size < 600; ++size) {
    Buffer plain(size);
    random.fill(plain.bytes());
    Buffer sealed = sealer.seal(plain.view());
    ASSERT_EQ(sealed.size(), size + kSealOverhead);
    const MutableBytes in_place = sealed.bytes().subspan(16, size);
    ASSERT_TRUE(sealer.unseal(sealed.view(), in_place));
    ASSERT_EQ(as_text(in_place), as_text(plain.view()));
  }
}

TEST(Sealer, RoundTripsAcrossMoves) {
  SeededRandom random(kSeed);
  const MasterKey key = MasterKey::random(random);
  Sealer first(key, random);
  Buffer plain((5U << 20) + 3);
  random.fill(plain.bytes());
  const Buffer sealed = first.seal(plain.view());
  Sealer moved(std::move(first));
  first = Sealer(key, random);
  for (Sealer* sealer : {&moved, &first}) {
    const auto opened = sealer->unseal(sealed.view());
    ASSERT_TRUE(opened.has_value());
    EXPECT_TRUE(std::ranges::equal(opened->view(), plain.view()));
  }
}

TEST(Sealer, AnOutputOfTheWrongSizeIsAnError) {
  SeededRandom random(kSeed);
  Sealer sealer(MasterKey::random(random), random);
  for (const size_t size : {0U, 9U, 11U, 41U, 43U}) {
    Buffer out(size);
    EXPECT_THROW(sealer.seal(as_bytes("ten bytes!"), out.bytes()), Error) << size;
    const Buffer sealed = sealer.seal(as_bytes("ten bytes!"));
    EXPECT_THROW((void)sealer.unseal(sealed.view(), out.bytes()), Error) << size;
  }
}

TEST(Sealer, RefusesKeysWithAPartOfZeros) {
  SeededRandom random(kSeed);
  for (int part = 0; part < 3; ++part) {
    MasterKey key = MasterKey::random(random);
    EXPECT_NO_THROW(Sealer(key, random));
    if (part == 0) {
      key.encrypt.fill(std::byte{0});
    } else {
      (part == 1 ? key.mac_k : key.mac_r).fill(std::byte{0});
    }
    EXPECT_THROW(Sealer(key, random), Error) << part;
  }
}

}  // namespace
}  // namespace salvor
