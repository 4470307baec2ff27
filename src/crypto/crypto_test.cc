#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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

}  // namespace
}  // namespace salvor
