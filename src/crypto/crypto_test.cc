#include <fstream>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>

#include "base/error.h"
#include "crypto/scrypt.h"
#include "crypto/seal.h"
#include "crypto/sha256.h"

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

Buffer unhex(const nlohmann::json& value) {
  const auto text = value.get<std::string>();
  Buffer bytes(text.size() / 2);
  EXPECT_TRUE(from_hex(text, bytes.bytes()));
  return bytes;
}

nlohmann::json vectors(const char* name) {
  return nlohmann::json::parse(std::ifstream(SALVOR_TEST_DATA "/crypto.json")).at(name);
}

TEST(Scrypt, MatchesResticsKeyFiles) {
  for (const auto& v : vectors("scrypt")) {
    Buffer out(64);
    scrypt(as_bytes(v["password"].get<std::string>()), unhex(v["salt_hex"]).view(),
           {v["N"], v["r"], v["p"]}, out.bytes(), 2);
    EXPECT_EQ(to_hex(out.view()), v["derived_64_bytes_hex"].get<std::string>()) << v["note"];
  }
}

TEST(Sealer, MatchesResticsBytes) {
  SeededRandom random(1);
  for (const auto& v : vectors("seal")) {
    MasterKey key;
    ASSERT_TRUE(from_hex(v["encrypt_hex"].get<std::string>(), key.encrypt));
    ASSERT_TRUE(from_hex(v["mac_k_hex"].get<std::string>(), key.mac_k));
    ASSERT_TRUE(from_hex(v["mac_r_hex"].get<std::string>(), key.mac_r));
    Sealer sealer(key, random);
    const Buffer plaintext = unhex(v["plaintext_hex"]);
    const Buffer sealed =
        SealerTestPeer::seal_with_iv(sealer, unhex(v["nonce_hex"]).view(), plaintext.view());
    EXPECT_EQ(to_hex(sealed.view()), v["sealed_hex"].get<std::string>());
    const auto opened = sealer.unseal(sealed.view());
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(to_hex(opened->view()), to_hex(plaintext.view()));
  }
}

TEST(Sha256, MatchesTheStandard) {
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 hash;
  hash.update(as_bytes("ab"));
  hash.update(as_bytes("c"));
  EXPECT_EQ(hash.finish(), sha256(as_bytes("abc")));
}

// Every kernel answers as OpenSSL does, for every small length and for lanes that end at different
// times.
TEST(Sha256, ManyAgreesWithOneForAllLengthsAndRefills) {
  SeededRandom random(7);
  Buffer data(300000);
  random.fill(data.bytes());
  std::vector<ByteView> messages;
  for (size_t length = 0; length < 300; ++length) {
    messages.push_back(data.view(length, length));
  }
  for (int i = 0; i < 200; ++i) {
    const size_t length = random.next_u64() % 100000;
    messages.push_back(data.view(random.next_u64() % (data.size() - length), length));
  }
  for (size_t count = 0; count <= messages.size(); count = count * 2 + 1) {
    std::vector<Digest> digests(count);
    sha256_many(std::span(messages).first(count), digests);
    for (size_t i = 0; i < count; ++i) {
      Digest expected;
      ASSERT_EQ(EVP_Digest(messages[i].data(), messages[i].size(),
                           reinterpret_cast<unsigned char*>(expected.data()), nullptr, EVP_sha256(),
                           nullptr),
                1);
      ASSERT_EQ(digests[i], expected) << "message " << i << " of " << count;
    }
  }
}

TEST(Sha256, UpdatesTogetherAgreeWithUpdatesApart) {
  SeededRandom random(8);
  Buffer data(100000);
  random.fill(data.bytes());
  for (int round = 0; round < 50; ++round) {
    std::vector<Sha256> together(1 + random.next_u64() % 7);
    std::vector<Sha256> apart(together.size());
    for (int step = 0; step < 5; ++step) {
      std::vector<Sha256Update> updates;
      for (size_t i = 0; i < together.size(); ++i) {
        const size_t length = random.next_u64() % (step % 2 == 0 ? 200 : 20000);
        const ByteView bytes = data.view(random.next_u64() % (data.size() - length), length);
        updates.push_back({&together[i], bytes});
        apart[i].update(bytes);
      }
      sha256_update_many(updates);
    }
    for (size_t i = 0; i < together.size(); ++i) {
      ASSERT_EQ(together[i].finish(), apart[i].finish());
    }
  }
}

TEST(Sealer, EveryFlippedBitIsRefused) {
  SeededRandom random(9);
  Sealer sealer(MasterKey::random(random), random);
  const Buffer sealed = sealer.seal(as_bytes("twenty-six bytes of secret"));
  for (size_t i = 0; i < sealed.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Buffer tampered = Buffer::copy_of(sealed.view());
      tampered.bytes()[i] ^= static_cast<std::byte>(1U << bit);
      EXPECT_FALSE(sealer.unseal(tampered.view()).has_value()) << i << ":" << bit;
    }
  }
}

TEST(Sealer, RefusesShortInputAndTheZeroIv) {
  SeededRandom random(10);
  Sealer sealer(MasterKey::random(random), random);
  for (size_t size = 0; size < kSealOverhead; ++size) {
    EXPECT_FALSE(sealer.unseal(Buffer(size).view()).has_value());
  }
  const Buffer zero_iv(16);
  std::memset(const_cast<std::byte*>(zero_iv.data()), 0, 16);
  const Buffer sealed = SealerTestPeer::seal_with_iv(sealer, zero_iv.view(), as_bytes("x"));
  EXPECT_FALSE(sealer.unseal(sealed.view()).has_value());
}

TEST(Sealer, RoundTripsEveryLengthAndInPlace) {
  SeededRandom random(11);
  Sealer sealer(MasterKey::random(random), random);
  for (size_t size = 0; size < 600; ++size) {
    Buffer plain(size);
    random.fill(plain.bytes());
    Buffer sealed = sealer.seal(plain.view());
    const MutableBytes in_place = sealed.bytes().subspan(16, size);
    ASSERT_TRUE(sealer.unseal(sealed.view(), in_place));
    ASSERT_EQ(as_text(in_place), as_text(plain.view()));
  }
}

// The lanes and threads of our scrypt against OpenSSL's plain one.
TEST(Scrypt, AgreesWithOpensslForManyParameters) {
  for (const ScryptParameters parameters :
       {ScryptParameters{2, 1, 1}, ScryptParameters{16, 3, 5}, ScryptParameters{64, 8, 4},
        ScryptParameters{1024, 8, 7}, ScryptParameters{256, 1, 16}, ScryptParameters{512, 16, 3}}) {
    for (const unsigned threads : {1U, 2U, 3U}) {
      Buffer ours(64);
      Buffer theirs(64);
      scrypt(as_bytes("password"), as_bytes("salt"), parameters, ours.bytes(), threads);
      ASSERT_EQ(EVP_PBE_scrypt("password", 8, reinterpret_cast<const unsigned char*>("salt"), 4,
                               parameters.n, parameters.r, parameters.p, uint64_t{1} << 30,
                               reinterpret_cast<unsigned char*>(theirs.data()), 64),
                1);
      EXPECT_EQ(to_hex(ours.view()), to_hex(theirs.view()))
          << parameters.n << " " << parameters.r << " " << parameters.p;
    }
  }
}

TEST(Scrypt, HostileParametersAreRefused) {
  for (const ScryptParameters parameters :
       {ScryptParameters{0, 8, 1}, ScryptParameters{1, 8, 1}, ScryptParameters{3, 8, 1},
        ScryptParameters{1U << 31, 8, 1}, ScryptParameters{32768, 1U << 30, 1},
        ScryptParameters{32768, 8, 1U << 30}, ScryptParameters{32768, 0, 1},
        ScryptParameters{32768, 8, 0}}) {
    EXPECT_FALSE(acceptable(parameters));
    Buffer out(64);
    EXPECT_THROW(scrypt({}, {}, parameters, out.bytes(), 1), Error);
  }
}

TEST(Scrypt, NewKeysCostWhatResticsCost) {
  const ScryptParameters chosen = calibrated_scrypt_parameters();
  EXPECT_EQ(chosen.n, 32768U);
  EXPECT_EQ(chosen.r, 8U);
  EXPECT_GE(chosen.p, 4U);
  EXPECT_LE(chosen.p, 16U);
}

}  // namespace
}  // namespace salvor
