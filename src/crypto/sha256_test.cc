#include "crypto/sha256.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/random.h"
#include "crypto/sha256_kernels.h"

namespace salvor {
namespace {

constexpr uint64_t kSeed = 7;

Digest reference(ByteView message) {
  Digest digest;
  EXPECT_EQ(
      EVP_Digest(message.data(), message.size(), reinterpret_cast<unsigned char*>(digest.data()),
                 nullptr, EVP_sha256(), nullptr),
      1);
  return digest;
}

Buffer noise(size_t size, uint64_t seed = kSeed) {
  SeededRandom random(seed);
  Buffer data(size);
  random.fill(data.bytes());
  return data;
}

void expect_all(const Sha256Kernel& kernel, std::span<const ByteView> messages) {
  std::vector<Digest> digests(messages.size());
  sha256_many(kernel, messages, digests);
  for (size_t i = 0; i < messages.size(); ++i) {
    ASSERT_EQ(to_hex(digests[i]), to_hex(reference(messages[i])))
        << kernel.name << ", message " << i << " of " << messages.size() << ", "
        << messages[i].size() << " bytes";
  }
}

TEST(Sha256, MatchesTheStandard) {
  // FIPS 180-4 examples: none, one and two blocks, and a million letters.
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(to_hex(sha256(as_bytes(std::string(1'000'000, 'a')))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OneMessageOfEveryLength) {
  const Buffer data = noise(1000);
  for (size_t length = 0; length <= 300; ++length) {
    ASSERT_EQ(sha256(data.view(length, length)), reference(data.view(length, length))) << length;
  }
}

TEST(Sha256, EveryKernelAgreesForEveryLengthAndNumberOfLanes) {
  const Buffer data = noise(3000);
  for (const Sha256Kernel& kernel : sha256_kernels()) {
    for (size_t lanes = 1; lanes <= kernel.lanes; ++lanes) {
      for (size_t length = 0; length <= 300; ++length) {
        std::vector<ByteView> messages;
        for (size_t i = 0; i < lanes; ++i) {  // unaligned, and not alike
          messages.push_back(data.view(17 * i + length, length));
        }
        expect_all(kernel, messages);
      }
    }
  }
}

TEST(Sha256, LanesAreRefilledInAnyOrderOfLengths) {
  const Buffer data = noise(400'000);
  std::vector<ByteView> messages;
  for (size_t length = 0; length < 300; ++length) {
    messages.push_back(data.view(length, length));
  }
  SeededRandom random(kSeed);
  for (int i = 0; i < 60; ++i) {
    const size_t length = random.next_u64() % 100'000;
    messages.push_back(data.view(random.next_u64() % (data.size() - length), length));
  }
  std::mt19937 shuffle(kSeed);
  for (const Sha256Kernel& kernel : sha256_kernels()) {
    for (const size_t count : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 13U, 50U, 360U}) {
      for (int round = 0; round < 3; ++round) {
        std::shuffle(messages.begin(), messages.end(), shuffle);
        expect_all(kernel, std::span(messages).first(count));
      }
    }
  }
}

TEST(Sha256, LongAndShortMessagesTogether) {
  const Buffer data = noise((9U << 20) + 123);
  const std::vector<ByteView> messages{data.view(), data.view(0, 1), data.view(1, 0),
                                       data.view(77, 3U << 20), data.view(5, (1U << 20) + 63)};
  for (const Sha256Kernel& kernel : sha256_kernels()) {
    expect_all(kernel, messages);
  }
}

TEST(Sha256, AsManyDigestsAsMessagesAreWanted) {
  const std::vector<ByteView> messages(3);
  std::vector<Digest> digests(2);
  EXPECT_THROW(sha256_many(messages, digests), Error);
}

TEST(Sha256, IncrementalInEveryTwoPieces) {
  const Buffer data = noise(200);
  const Digest expected = reference(data.view());
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    Sha256 hash;
    hash.update(data.view(0, cut));
    Sha256 copy = hash;
    hash.update(data.view(cut, data.size() - cut));
    ASSERT_EQ(hash.finish(), expected) << cut;
    ASSERT_EQ(copy.finish(), reference(data.view(0, cut))) << cut;
  }
}

TEST(Sha256, UpdatesTogetherAreUpdatesApart) {
  const Buffer data = noise(100'000);
  SeededRandom random(kSeed);
  for (int round = 0; round < 100; ++round) {
    const size_t count = 1 + random.next_u64() % 7;
    std::vector<Sha256> hashes(count);
    std::vector<std::vector<std::byte>> fed(count);
    for (int step = 0; step < 5; ++step) {
      std::vector<Sha256Update> updates;
      for (size_t i = 0; i < count; ++i) {
        const size_t length = random.next_u64() % (random.next_u64() % 2 == 0 ? 150 : 20'000);
        const ByteView bytes = data.view(random.next_u64() % (data.size() - length), length);
        updates.push_back({&hashes[i], bytes});
        fed[i].insert(fed[i].end(), bytes.begin(), bytes.end());
      }
      const std::vector<Sha256Update> before = updates;
      sha256_update_many(updates);
      for (size_t i = 0; i < count; ++i) {  // the caller's list is his
        ASSERT_EQ(updates[i].bytes.data(), before[i].bytes.data());
        ASSERT_EQ(updates[i].bytes.size(), before[i].bytes.size());
      }
    }
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(hashes[i].finish(), reference(fed[i])) << "round " << round << ", hash " << i;
    }
  }
}

}  // namespace
}  // namespace salvor
