#include "crypto/scrypt.h"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/random.h"
#include "crypto/scrypt_kernels.h"
#include "support/crypto_vectors.h"

namespace salvor {
namespace {

std::string ours(std::string_view password, std::string_view salt, ScryptParameters parameters,
                 unsigned threads, size_t size = 64) {
  Buffer out(size);
  scrypt(as_bytes(password), as_bytes(salt), parameters, out.bytes(), threads);
  return to_hex(out.view());
}

std::string openssl(std::string_view password, std::string_view salt, ScryptParameters parameters,
                    size_t size = 64) {
  Buffer out(size);
  EXPECT_EQ(EVP_PBE_scrypt(password.data(), password.size(),
                           reinterpret_cast<const unsigned char*>(salt.data()), salt.size(),
                           parameters.n, parameters.r, parameters.p, uint64_t{1} << 32,
                           reinterpret_cast<unsigned char*>(out.data()), out.size()),
            1);
  return to_hex(out.view());
}

// RFC 7914, section 12 (without the one that needs 1 GiB).
TEST(Scrypt, MatchesTheRfc) {
  EXPECT_EQ(ours("", "", {16, 1, 1}, 1),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
            "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
  EXPECT_EQ(ours("password", "NaCl", {1024, 8, 16}, 2),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
  EXPECT_EQ(ours("pleaseletmein", "SodiumChloride", {16384, 8, 1}, 2),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

TEST(Scrypt, MatchesResticsKeyFiles) {
  for (const auto& v : testing::crypto_vectors("scrypt")) {
    const Buffer salt = testing::unhex(v["salt_hex"]);
    EXPECT_EQ(
        ours(v["password"].get<std::string>(), as_text(salt.view()), {v["N"], v["r"], v["p"]}, 2),
        v["derived_64_bytes_hex"].get<std::string>())
        << v["note"];
  }
}

TEST(Scrypt, AgreesWithOpensslForAnyShapeAndNumberOfThreads) {
  for (const ScryptParameters parameters :
       {ScryptParameters{2, 1, 1}, ScryptParameters{16, 3, 5}, ScryptParameters{64, 8, 4},
        ScryptParameters{1024, 8, 7}, ScryptParameters{256, 1, 33}, ScryptParameters{512, 16, 3},
        ScryptParameters{2, 4096, 9},      // blocks larger than the table's entries are many
        ScryptParameters{4096, 8, 6},      // the smallest with a stride
        ScryptParameters{4096, 8, 5},      // strides of its own for each thread
        ScryptParameters{65536, 8, 5}}) {  // more lanes than may run together
    const std::string expected = openssl("password", "salt", parameters);
    for (const unsigned threads : {0U, 1U, 2U, 3U, 100U}) {
      if (parameters.n > 60000 && threads != 2) {
        continue;
      }
      EXPECT_EQ(ours("password", "salt", parameters, threads), expected)
          << parameters.n << " " << parameters.r << " " << parameters.p << ", " << threads
          << " threads";
    }
  }
}

TEST(Scrypt, PasswordsAndOutputsOfAllLengths) {
  for (const size_t length : {0U, 1U, 55U, 63U, 64U, 65U, 200U}) {
    const std::string text(length, 'x');
    EXPECT_EQ(ours(text, text, {4, 1, 2}, 1, length + 1),
              openssl(text, text, {4, 1, 2}, length + 1))
        << length;
  }
}

struct FreeAligned {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Aligned = std::unique_ptr<std::byte, FreeAligned>;

Aligned aligned(size_t size) {
  return Aligned(static_cast<std::byte*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
}

// ROMix of `blocks` with one kernel; block i is in lane i % kernel.lanes.
std::string romix(const ScryptKernel& kernel, const ScryptShape& shape, ByteView blocks) {
  const size_t block = size_t{128} * shape.r;
  const size_t table = block * ((shape.n + shape.stride - 1) / shape.stride);
  Buffer mixed = Buffer::copy_of(blocks);
  const Aligned tables = aligned(table * kernel.lanes);
  const Aligned scratch = aligned(3 * block * kernel.lanes);
  for (size_t done = 0; done < blocks.size(); done += block * kernel.lanes) {
    std::vector<ScryptLane> lanes;
    for (size_t i = 0; i < kernel.lanes; ++i) {
      lanes.push_back({mixed.data() + done + block * i, tables.get() + table * i});
    }
    kernel.mix(lanes.data(), shape, scratch.get());
  }
  return to_hex(mixed.view());
}

TEST(Scrypt, EveryKernelAgreesAtEveryStride) {
  SeededRandom random(4);
  for (const uint32_t r : {1U, 3U, 8U}) {
    Buffer blocks(size_t{128} * r * kScryptMaxLanes);
    random.fill(blocks.bytes());
    for (const uint32_t n : {2U, 64U, 1024U}) {
      const std::string expected = romix(scrypt_kernels().front(), {n, r, 1}, blocks.view());
      for (const ScryptKernel& kernel : scrypt_kernels()) {
        for (uint32_t stride = 1; stride <= std::min(n, 9U); ++stride) {
          EXPECT_EQ(romix(kernel, {n, r, stride}, blocks.view()), expected)
              << kernel.name << ", n " << n << ", r " << r << ", stride " << stride;
        }
      }
    }
  }
}

TEST(Scrypt, TheNarrowestSufficientKernelIsChosen) {
  const size_t widest = scrypt_kernels().back().lanes;
  for (size_t lanes = 1; lanes <= kScryptMaxLanes; ++lanes) {
    const ScryptKernel& chosen = scrypt_kernel_for(lanes);
    EXPECT_GE(chosen.lanes, std::min(lanes, widest));
    for (const ScryptKernel& kernel : scrypt_kernels()) {
      EXPECT_FALSE(kernel.lanes >= lanes && kernel.lanes < chosen.lanes) << kernel.name;
    }
  }
}

TEST(Scrypt, HostileParametersAreRefusedBeforeAnyWork) {
  constexpr uint32_t kHuge = 0xffffffff;
  for (const ScryptParameters parameters :
       {ScryptParameters{0, 8, 1}, ScryptParameters{1, 8, 1}, ScryptParameters{3, 8, 1},
        ScryptParameters{32769, 8, 1}, ScryptParameters{32768, 0, 1}, ScryptParameters{32768, 8, 0},
        ScryptParameters{1U << 31, 8, 1}, ScryptParameters{1U << 31, 1, 1},
        ScryptParameters{kHuge, kHuge, kHuge}, ScryptParameters{2, kHuge, 1},
        ScryptParameters{2, 1, kHuge}, ScryptParameters{32768, 1U << 30, 1},
        ScryptParameters{32768, 8, 1U << 30}, ScryptParameters{1U << 21, 8, 1},  // 2 GiB a lane
        ScryptParameters{2, 1U << 16, 1U << 4},  // 128 MiB of blocks
        ScryptParameters{32768, 8, 2049}}) {     // more than 64 GiB
    EXPECT_FALSE(acceptable(parameters))
        << parameters.n << " " << parameters.r << " " << parameters.p;
    Buffer out(64);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(scrypt({}, {}, parameters, out.bytes(), 1), Error);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  }
}

TEST(Scrypt, WhatResticWritesIsAccepted) {
  for (const ScryptParameters parameters :
       {ScryptParameters{1024, 8, 1}, ScryptParameters{16384, 8, 1}, ScryptParameters{32768, 8, 4},
        ScryptParameters{32768, 8, 16}, ScryptParameters{131072, 8, 1},
        ScryptParameters{1U << 20, 8, 1}, ScryptParameters{32768, 8, 2048}}) {
    EXPECT_TRUE(acceptable(parameters))
        << parameters.n << " " << parameters.r << " " << parameters.p;
  }
}

TEST(Scrypt, NewKeysAreAsDearAsResticsAtAnyTarget) {
  for (const unsigned target_ms : {0U, 500U, 0xffffffffU}) {
    const ScryptParameters chosen = calibrated_scrypt_parameters(target_ms);
    EXPECT_EQ(chosen.n, 32768U);
    EXPECT_EQ(chosen.r, 8U);
    EXPECT_GE(chosen.p, 4U);
    EXPECT_LE(chosen.p, 16U);
    EXPECT_TRUE(acceptable(chosen));
  }
  EXPECT_EQ(calibrated_scrypt_parameters(0).p, 4U);
  EXPECT_EQ(calibrated_scrypt_parameters(0xffffffffU).p, 16U);
}

}  // namespace
}  // namespace salvor
