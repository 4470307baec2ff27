#include "chunk/chunker.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <random>
#include <stdexcept>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <openssl/sha.h>

#include "base/error.h"
#include "base/random.h"
#include "chunk/kernel.h"
#include "support/properties.h"
#include "support/reference_chunker.h"
#include "support/test_data.h"

namespace salvor {
namespace {

using Bytes = std::vector<std::byte>;

std::string sha256_hex(ByteView bytes) {
  std::array<std::byte, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return to_hex(digest);
}

// The generators of tests/data/README.md.
void append_stream(Bytes& out, std::string_view seed, size_t size) {
  const size_t end = out.size() + size;
  for (uint64_t counter = 0; out.size() < end; ++counter) {
    std::string block(seed);
    for (int shift = 56; shift >= 0; shift -= 8) {
      block.push_back(static_cast<char>(counter >> shift));
    }
    std::array<std::byte, 32> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(block.data()), block.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
    const size_t taken = std::min(digest.size(), end - out.size());
    out.insert(out.end(), digest.begin(), digest.begin() + static_cast<ptrdiff_t>(taken));
  }
}

Bytes stream(std::string_view seed, size_t size) {
  Bytes out;
  append_stream(out, seed, size);
  return out;
}

Bytes text(size_t size) {
  Bytes out;
  for (int line = 0; out.size() < size; ++line) {
    char buffer[80];
    const int length = std::snprintf(buffer, sizeof buffer,
                                     "%08d the quick brown fox jumps over the lazy dog\n", line);
    const ByteView bytes = as_bytes({buffer, static_cast<size_t>(length)});
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  out.resize(size);
  return out;
}

Bytes constant(size_t size, uint8_t value) {
  return Bytes(size, std::byte{value});
}

Bytes generate(const std::string& name) {
  constexpr std::string_view kSeed = "salvor-chunks";
  if (name == "stream32") {
    return stream(kSeed, 33554432);
  }
  if (name.starts_with("len5")) {
    return stream(kSeed, std::stoul(name.substr(3)));
  }
  if (name == "zeropad") {
    Bytes bytes = stream(kSeed, 300000);
    bytes.resize(2300000);
    append_stream(bytes, "salvor-pad", 700000);
    return bytes;
  }
  return name == "zeros"        ? constant(3145828, 0)
         : name == "zero524288" ? constant(524288, 0)
         : name == "const55"    ? constant(20971520, 0x55)
         : name == "len1"       ? constant(1, 0x41)
         : name == "text5m"     ? text(5242880)
                                : Bytes();
}

nlohmann::json vectors() {
  std::ifstream file(test::test_data("chunker.json"));
  return nlohmann::json::parse(file);
}

std::vector<uint64_t> cut_whole(Chunker& chunker, ByteView file) {
  std::vector<uint64_t> cuts;
  chunker.reset();
  chunker.feed(file, cuts);
  return cuts;
}

Polynomial parsed(const std::string& hex) {
  const auto polynomial = Polynomial::parse(hex);
  return polynomial ? *polynomial : throw std::runtime_error("bad vector " + hex);
}

// Feeds pieces of random length up to `max_piece`. Each piece lives in a buffer of its own, so that
// a sanitizer sees a kernel that reads beyond it.
std::vector<uint64_t> cut_in_pieces(Chunker& chunker, ByteView file, size_t max_piece,
                                    std::mt19937_64& random) {
  std::vector<uint64_t> cuts;
  chunker.reset();
  for (size_t at = 0; at < file.size();) {
    const size_t length = std::min<size_t>(file.size() - at, 1 + random() % max_piece);
    const Buffer piece = Buffer::copy_of(file.subspan(at, length));
    const size_t before = cuts.size();
    chunker.feed(piece.view(), cuts);
    for (size_t i = before; i < cuts.size(); ++i) {
      EXPECT_GT(cuts[i], at) << "a cut outside its piece";
      EXPECT_LE(cuts[i], at + length) << "a cut outside its piece";
    }
    at += length;
  }
  return cuts;
}

void expect_legal_lengths(const std::vector<uint64_t>& cuts, uint64_t size) {
  uint64_t start = 0;
  for (const uint64_t cut : cuts) {
    EXPECT_GE(cut - start, kChunkMin);
    EXPECT_LE(cut - start, kChunkMax);
    start = cut;
  }
  EXPECT_LE(start, size);
  EXPECT_LT(size - start, kChunkMax);
}

// S1: data that restic has stored must not be stored again.
TEST(Chunker, CutsWhereResticCuts) {
  const auto data = vectors();
  std::map<std::string, Bytes> files;
  for (const auto& [name, expected] : data["cases"][0]["files"].items()) {
    files[name] = generate(name);
    ASSERT_EQ(sha256_hex(files[name]), expected["sha256"].get<std::string>()) << name;
  }
  for (const auto& test_case : data["cases"]) {
    const ChunkerTables tables(parsed(test_case["polynomial"].get<std::string>()));
    for (const auto& [name, expected] : test_case["files"].items()) {
      SCOPED_TRACE(name);
      const Bytes& file = files.at(name);
      for (const ChunkerKernel& kernel : chunker_kernels()) {
        SCOPED_TRACE(kernel.name);
        Chunker chunker(tables, kernel);
        std::vector<uint64_t> cuts = cut_whole(chunker, file);
        expect_legal_lengths(cuts, file.size());
        if (cuts.empty() || cuts.back() != file.size()) {
          cuts.push_back(file.size());
        }
        ASSERT_EQ(cuts.size(), expected["chunks"].size());
        uint64_t start = 0;
        for (size_t i = 0; i < cuts.size(); ++i) {
          const auto& chunk = expected["chunks"][i];
          ASSERT_EQ(start, chunk["offset"].get<uint64_t>());
          ASSERT_EQ(cuts[i] - start, chunk["length"].get<uint64_t>());
          start = cuts[i];
        }
      }
      uint64_t start = 0;
      for (const auto& chunk : expected["chunks"]) {
        const auto length = chunk["length"].get<uint64_t>();
        EXPECT_EQ(sha256_hex(ByteView(file).subspan(start, length)),
                  chunk["sha256"].get<std::string>());
        start += length;
      }
    }
  }
}

TEST(Chunker, TablesAreThoseOfTheVectors) {
  const auto data = vectors();
  for (const auto& test_case : data["cases"]) {
    const auto p = parsed(test_case["polynomial"].get<std::string>());
    const RabinTables tables(p);
    const testing::ReferenceChunker reference(p.bits());
    const auto& samples = test_case["tables"];
    for (size_t i = 0; i < samples["indices"].size(); ++i) {
      const auto index = samples["indices"][i].get<size_t>();
      const auto out = parsed(samples["out"][i].get<std::string>()).bits();
      const auto mod = parsed(samples["mod"][i].get<std::string>()).bits();
      EXPECT_EQ(tables.append_table[index], mod);
      EXPECT_EQ(tables.remove_table[index], tables.append(out, 0));
      EXPECT_EQ(reference.out_table()[index], out);
      EXPECT_EQ(reference.mod_table()[index], mod);
    }
  }
}

TEST(Chunker, FingerprintsAreThoseOfTheVectors) {
  const auto data = vectors();
  const Bytes bytes = stream("salvor-chunks", 4096);
  for (const auto& entry : data["fingerprints"]) {
    const auto p = parsed(entry["polynomial"].get<std::string>());
    size_t from = 0;
    ASSERT_EQ(std::sscanf(entry["window"].get<std::string>().c_str(), "bytes [%zu,", &from), 1);
    const auto expected = parsed(entry["fingerprint"].get<std::string>()).bits();
    const RabinTables tables(p);
    uint64_t h = 0;
    for (size_t i = 0; i < from + kChunkWindow; ++i) {
      h = tables.roll(h, bytes[i], i < kChunkWindow ? std::byte{0} : bytes[i - kChunkWindow]);
    }
    EXPECT_EQ(h, expected) << from;
    EXPECT_EQ(testing::ReferenceChunker(p.bits()).fingerprint(
                  ByteView(bytes).subspan(from, kChunkWindow)),
              expected);
  }
}

// A file of runs, periods, noise and text, hostile to lanes and borders.
Bytes patchwork(size_t size, std::mt19937_64& random) {
  Bytes file;
  while (file.size() < size) {
    const size_t length = std::min<size_t>(size - file.size(), 1 + random() % 700'000);
    switch (random() % 5) {
      case 0:
        file.resize(file.size() + length);
        break;
      case 1:
        file.resize(file.size() + length, static_cast<std::byte>(random()));
        break;
      case 2: {
        const Bytes lines = text(length);
        file.insert(file.end(), lines.begin(), lines.end());
        break;
      }
      default: {
        const size_t start = file.size();
        file.resize(start + length);
        SeededRandom(random()).fill(MutableBytes(file).subspan(start));
      }
    }
  }
  return file;
}

// The same cuts whatever the sizes of the pieces, on every kernel, as the bit-by-bit reference has
// them; lengths are legal, so the chunks laid end to end are the file.
TEST(Chunker, PiecesDoNotMatter) {
  test::expect_property(
      [] {
        const auto seed = *rc::gen::arbitrary<uint64_t>();
        SeededRandom source(seed);
        std::mt19937_64 random(seed);
        const Polynomial polynomial = Polynomial::random(source);
        const ChunkerTables tables(polynomial);
        const Bytes file = patchwork(*rc::gen::inRange<size_t>(1, 7 << 20), random);
        const auto expected = testing::ReferenceChunker(polynomial.bits()).cuts(file);
        expect_legal_lengths(expected, file.size());
        const auto piece =
            *rc::gen::element<size_t>(200, 4096, 70'000, 1 << 20, kChunkMin, kChunkMax, 64 << 20);
        for (const ChunkerKernel& kernel : chunker_kernels()) {
          Chunker chunker(tables, kernel);
          RC_ASSERT(cut_whole(chunker, file) == expected);
          RC_ASSERT(cut_in_pieces(chunker, file, piece, random) == expected);
        }
      },
      12);
}

// Every way a piece may end near a cut and near the first byte that is looked at. What lies in
// memory before a piece must not matter.
void expect_same_cuts_around(ByteView file, uint64_t edge) {
  const Polynomial polynomial(0x3da3358b4dc173);
  const ChunkerTables tables(polynomial);
  const auto expected = testing::ReferenceChunker(polynomial.bits()).cuts(file);
  ASSERT_FALSE(expected.empty());
  for (int64_t delta = -130; delta <= 130; ++delta) {
    const auto border = static_cast<size_t>(static_cast<int64_t>(edge) + delta);
    Chunker chunker(tables);
    std::vector<uint64_t> cuts;
    chunker.feed(file.first(border), cuts);
    Bytes rest = constant(kChunkWindow, 0xff);
    rest.insert(rest.end(), file.begin() + static_cast<ptrdiff_t>(border), file.end());
    chunker.feed(ByteView(rest).subspan(kChunkWindow), cuts);
    ASSERT_EQ(cuts, expected) << border;
  }
}

TEST(Chunker, CutsNearBordersOfPieces) {
  const Bytes file = stream("salvor-chunks", 2'400'000);
  expect_same_cuts_around(file, 1636368);              // the first cut
  expect_same_cuts_around(file, 1636368 + kChunkMin);  // the first byte looked at after it
  expect_same_cuts_around(file, 2215596);              // the second cut
  // A cut at the very first chance.
  expect_same_cuts_around(constant(kChunkMin + 1000, 0), kChunkMin);
}

TEST(Chunker, TakesSingleBytes) {
  const Polynomial polynomial(0x25b468838dcb75);
  const ChunkerTables tables(polynomial);
  Bytes file = stream("single", 600'000);
  file.resize(1'200'000);  // zeros
  Chunker chunker(tables);
  std::vector<uint64_t> cuts;
  for (const std::byte& byte : file) {
    chunker.feed({&byte, 1}, cuts);
    chunker.feed({}, cuts);
  }
  EXPECT_EQ(cuts, testing::ReferenceChunker(polynomial.bits()).cuts(file));
  ASSERT_FALSE(cuts.empty());
}

TEST(Chunker, ForcesACutAtTheMaximum) {
  const ChunkerTables tables(Polynomial(0x3da3358b4dc173));
  const Bytes file = constant(2 * kChunkMax + 5, 0x55);
  const std::vector<uint64_t> expected = {kChunkMax, 2 * kChunkMax};
  std::mt19937_64 random(3);
  Chunker chunker(tables);
  EXPECT_EQ(cut_whole(chunker, file), expected);
  EXPECT_EQ(cut_in_pieces(chunker, file, 3 << 20, random), expected);
  // A file that ends on a forced cut, and one that ends a byte before.
  EXPECT_EQ(cut_whole(chunker, ByteView(file).first(2 * kChunkMax)), expected);
  EXPECT_EQ(cut_whole(chunker, ByteView(file).first(2 * kChunkMax - 1)),
            std::vector<uint64_t>{kChunkMax});
}

TEST(Chunker, ForgetsTheFileOnReset) {
  const ChunkerTables tables(Polynomial(0x3da3358b4dc173));
  const Bytes zeros = constant(kChunkMin + 100, 0);
  Chunker chunker(tables);
  std::vector<uint64_t> cuts;
  chunker.feed(ByteView(zeros).first(kChunkMin - 1), cuts);
  chunker.reset();
  chunker.feed(zeros, cuts);
  EXPECT_EQ(cuts, std::vector<uint64_t>{kChunkMin});
  Chunker moved = std::move(chunker);
  EXPECT_EQ(cut_whole(moved, zeros), std::vector<uint64_t>{kChunkMin});
}

TEST(Chunker, RefusesPolynomialsOfOtherDegrees) {
  for (const uint64_t bits : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 52, uint64_t{1} << 54}) {
    try {
      const ChunkerTables tables{Polynomial(bits)};
      FAIL() << bits;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

}  // namespace
}  // namespace salvor
