#include "codec/zstd.h"

#include <cmath>

#include <gtest/gtest.h>
#include <zstd.h>

#include "base/fd.h"
#include "base/random.h"

namespace salvor {
namespace {

Buffer random_bytes(size_t size, uint64_t seed = 1) {
  Buffer out(size);
  SeededRandom(seed).fill(out.bytes());
  return out;
}

Buffer text_bytes(size_t size) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) {
    text += std::to_string(i * 7919) + " the quick brown fox jumps over the lazy dog\n";
  }
  text.resize(size);
  return Buffer::copy_of(as_bytes(text));
}

bool equal(ByteView left, ByteView right) {
  return std::ranges::equal(left, right);
}

TEST(Zstd, RoundTripsAtEveryLevel) {
  Compressor compressor;
  Decompressor decompressor;
  Buffer packed;
  for (const size_t size : {0U, 1U, 255U, 256U, 100'000U, 3'000'000U}) {
    const Buffer plain = text_bytes(size);
    for (const int level : {-5, 1, 3, 9, 19}) {
      compressor.compress(plain.view(), level, packed);
      Buffer again(size);
      ASSERT_TRUE(decompressor.decompress(packed.view(), again.bytes()));
      EXPECT_TRUE(equal(again.view(), plain.view()));
      const auto unknown = decompressor.decompress_unknown(packed.view(), size);
      ASSERT_TRUE(unknown);
      EXPECT_TRUE(equal(unknown->view(), plain.view()));
    }
  }
}

TEST(Zstd, FramesCarryTheirSizeAndAModestWindow) {
  Compressor compressor;
  Buffer packed;
  Buffer plain(9'000'000);
  std::memset(plain.data(), 7, plain.size());
  compressor.compress(plain.view(), 20, packed);
  EXPECT_EQ(ZSTD_getFrameContentSize(packed.data(), packed.size()), plain.size());
  EXPECT_EQ(std::to_integer<unsigned>(packed.data()[4]) & 0x27U,
            0U);  // no checksum, dictionary, single segment
  const unsigned window_log = 10 + (std::to_integer<unsigned>(packed.data()[5]) >> 3);
  EXPECT_LE(window_log, 23U);
  compressor.compress(plain.view(), 3, packed);  // the cap of one call does not leak into the next
  Buffer fresh;
  Compressor().compress(plain.view(), 3, fresh);
  EXPECT_TRUE(equal(packed.view(), fresh.view()));
}

TEST(Zstd, RefusesTheWrongSize) {
  Compressor compressor;
  Decompressor decompressor;
  Buffer packed;
  const Buffer plain = text_bytes(5000);
  compressor.compress(plain.view(), 3, packed);
  for (const size_t size : {0U, 4999U, 5001U}) {
    Buffer out(size);
    EXPECT_FALSE(decompressor.decompress(packed.view(), out.bytes())) << size;
  }
  EXPECT_FALSE(decompressor.decompress_unknown(packed.view(), 4999));
  EXPECT_TRUE(decompressor.decompress_unknown(packed.view(), 5000));
}

TEST(Zstd, ReadsSeveralAndSkippableFrames) {
  Compressor compressor;
  Decompressor decompressor;
  Buffer all;
  const Buffer plain = text_bytes(300'000);
  Buffer packed;
  const std::byte skippable[] = {std::byte{0x5f}, std::byte{0x2a}, std::byte{0x4d}, std::byte{0x18},
                                 std::byte{3},    std::byte{0},    std::byte{0},    std::byte{0},
                                 std::byte{1},    std::byte{2},    std::byte{3}};
  all.append(ByteView(skippable));
  compressor.compress(plain.view(0, 1000), 3, packed);
  all.append(packed.view());
  compressor.compress(plain.view(1000, 0), 3, packed);
  all.append(packed.view());
  all.append(ByteView(skippable));
  compressor.compress(plain.view(1000, 299'000), 1, packed);
  all.append(packed.view());
  Buffer out(300'000);
  ASSERT_TRUE(decompressor.decompress(all.view(), out.bytes()));
  EXPECT_TRUE(equal(out.view(), plain.view()));
  ASSERT_TRUE(decompressor.decompress_unknown(all.view(), 1 << 20));
  for (size_t length = 0; length < 1100; ++length) {
    EXPECT_FALSE(decompressor.decompress(all.view(0, length), out.bytes()));
  }
  EXPECT_FALSE(decompressor.decompress(all.view(0, all.size() - 1), out.bytes()));
}

TEST(Zstd, PiecesAreTheWholeOrNothing) {
  Compressor compressor;
  Decompressor decompressor;
  const Buffer plain = text_bytes(700'000);
  Buffer all;
  Buffer packed;
  for (const auto& [begin, length] : {std::pair{0, 1000}, {1000, 0}, {1000, 699'000}}) {
    compressor.compress(plain.view(static_cast<size_t>(begin), static_cast<size_t>(length)), 3,
                        packed);
    all.append(packed.view());
  }
  Buffer joined;
  size_t pieces = 0;
  const auto take = [&](ByteView piece) {
    joined.append(piece);
    ++pieces;
  };
  ASSERT_TRUE(decompressor.decompress_pieces(all.view(), plain.size(), take));
  EXPECT_TRUE(equal(joined.view(), plain.view()));
  EXPECT_GT(pieces, 2U);
  for (const uint64_t wrong : {uint64_t{0}, plain.size() - 1, plain.size() + 1, UINT64_MAX}) {
    joined = Buffer();
    EXPECT_FALSE(decompressor.decompress_pieces(all.view(), wrong, take));
    EXPECT_LE(joined.size(), wrong);  // never more than was announced
  }
  for (size_t cut = 0; cut < 1100; cut += 7) {
    EXPECT_FALSE(decompressor.decompress_pieces(all.view(0, cut), plain.size(), take));
  }
  EXPECT_FALSE(decompressor.decompress_pieces(all.view(0, all.size() - 1), plain.size(), take));
  EXPECT_FALSE(decompressor.decompress_pieces({}, 0, take));  // no frame at all
  joined = Buffer();
  ASSERT_TRUE(decompressor.decompress_pieces(all.view(), plain.size(), take));  // still usable
  EXPECT_TRUE(equal(joined.view(), plain.view()));
}

// As restic writes small blobs: a window descriptor, no content size (format facts, 17.2).
TEST(Zstd, ReadsFramesWithoutContentSize) {
  std::string frame("\x28\xb5\x2f\xfd\x00\x00\x91\x00\x00", 9);
  frame += "hardlinked content";
  Decompressor decompressor;
  const auto out = decompressor.decompress_unknown(as_bytes(frame), 1000);
  ASSERT_TRUE(out);
  EXPECT_EQ(as_text(out->view()), "hardlinked content");
}

TEST(Zstd, ReadsStreamedFramesWithChecksum) {
  const Buffer plain = text_bytes(1'000'000);
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                   ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  Buffer packed(ZSTD_compressBound(plain.size()));
  ZSTD_outBuffer to{packed.data(), packed.size(), 0};
  ZSTD_inBuffer from{plain.data(), plain.size(), 0};
  ASSERT_EQ(ZSTD_isError(ZSTD_compressStream2(context.get(), &to, &from, ZSTD_e_continue)), 0U);
  ASSERT_EQ(ZSTD_compressStream2(context.get(), &to, &from, ZSTD_e_end), 0U);
  packed.resize(to.pos);
  Decompressor decompressor;
  const auto out = decompressor.decompress_unknown(packed.view(), 1 << 20);
  ASSERT_TRUE(out);
  EXPECT_TRUE(equal(out->view(), plain.view()));
  packed.data()[packed.size() - 1] ^= std::byte{1};
  EXPECT_FALSE(decompressor.decompress_unknown(packed.view(), 1 << 20));
}

// A frame may announce any size; only its blocks say how much it can really yield.
TEST(Zstd, PromisesDoNotAllocate) {
  Decompressor decompressor;
  const size_t limit = size_t{1} << 40;  // would throw bad_alloc or be killed if it were believed
  std::string huge("\x28\xb5\x2f\xfd\xc0\x58", 6);  // 8-byte content size, window 2 MiB
  huge += std::string("\0\0\0\0\0\x01\0\0", 8);     // 1 TiB
  huge += std::string("\x01\0\0", 3);               // one empty last block
  EXPECT_FALSE(decompressor.decompress_unknown(as_bytes(huge), limit));
  const std::string wide("\x28\xb5\x2f\xfd\x00\xa8\x01\0\0", 9);  // window 2^31
  EXPECT_FALSE(decompressor.decompress_unknown(as_bytes(wide), limit));
  Buffer none;
  EXPECT_FALSE(decompressor.decompress(as_bytes(wide), none.bytes()));
  const std::string widest("\x28\xb5\x2f\xfd\x00\x98\x01\0\0", 9);  // window 2^29: allowed
  EXPECT_TRUE(decompressor.decompress(as_bytes(widest), none.bytes()));
  const std::string dictionary("\x28\xb5\x2f\xfd\x01\x00\x07\x01\0\0", 10);
  EXPECT_FALSE(decompressor.decompress(as_bytes(dictionary), none.bytes()));
}

TEST(Zstd, HostileFramesAreRefused) {
  Compressor compressor;
  Decompressor decompressor;
  Buffer packed;
  const Buffer plain = text_bytes(50'000);
  compressor.compress(plain.view(), 3, packed);
  SeededRandom random(5);
  size_t refused = 0;
  for (int i = 0; i < 5000; ++i) {
    Buffer mutated = Buffer::copy_of(packed.view());
    mutated.data()[random.next_u64() % mutated.size()] ^=
        static_cast<std::byte>(1 + random.next_u64() % 255);
    Buffer out(plain.size());
    refused += decompressor.decompress(mutated.view(), out.bytes()) ? 0U : 1U;
    (void)decompressor.decompress_unknown(mutated.view(), 100'000);
  }
  EXPECT_GT(refused, 500U);
  Buffer out(plain.size());
  EXPECT_TRUE(decompressor.decompress(packed.view(), out.bytes()));  // still usable
}

// ---- methods ----

TEST(Zstd, MethodsDecodeAndDoNotLeakIntoTheNextCall) {
  Compressor compressor;
  Decompressor decompressor;
  const Buffer plain = text_bytes(1'000'000);
  Buffer usual;
  compressor.compress(plain.view(), 1, usual);
  for (const CompressionMethod& method :
       {CompressionMethod{.level = 1, .window_log = 22, .hash_log = 16, .min_match = 5},
        CompressionMethod{
            .level = 1, .hash_log = 15, .chain_log = 14, .min_match = 5, .two_tables = true},
        CompressionMethod{.level = 20, .hash_log = 12}}) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{5000}, plain.size()}) {
      Buffer packed;
      compressor.compress(plain.view(0, size), method, packed);
      Buffer again(size);
      EXPECT_TRUE(decompressor.decompress(packed.view(), again.bytes()));
      EXPECT_TRUE(as_text(again.view()) == as_text(plain.view(0, size)));
    }
    Buffer next;
    compressor.compress(plain.view(), 1, next);
    EXPECT_TRUE(as_text(next.view()) == as_text(usual.view()));
  }
}

TEST(Zstd, SampleRatioTellsTextFromRandomBytes) {
  Compressor compressor;
  for (const size_t size : {8'192U, 100'001U, 1'000'000U}) {
    EXPECT_GT(compressor.sample_ratio(random_bytes(size).view()), 0.99);
    EXPECT_LT(compressor.sample_ratio(text_bytes(size).view()), 0.8);
    EXPECT_LT(compressor.sample_ratio(Buffer::copy_of(as_bytes(std::string(size, 'x'))).view()),
              0.02);
  }
}

// ---- looks_incompressible ----

bool looks(ByteView plain) {
  return Compressor().looks_incompressible(plain);
}

double saved(ByteView plain) {
  Buffer packed;
  Compressor().compress(plain, 3, packed);
  return 1.0 - static_cast<double>(packed.size()) / static_cast<double>(plain.size());
}

TEST(Zstd, KnowsRandomBytes) {
  for (const size_t size : {128'000U, 524'288U, 1'048'576U}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      EXPECT_TRUE(looks(random_bytes(size, seed).view())) << size << " seed " << seed;
    }
  }
}

TEST(Zstd, AlreadyCompressedBytesAreIncompressible) {
  Buffer packed;
  const std::string digits = to_base64(random_bytes(700'000).view());
  Compressor().compress(as_bytes(digits), 3, packed);
  EXPECT_TRUE(looks(packed.view()));
  EXPECT_LT(saved(packed.view()), 0.02);
}

TEST(Zstd, TriesWhatIsSmallOrStructured) {
  EXPECT_FALSE(looks(random_bytes(32'767).view()));
  EXPECT_FALSE(looks({}));
  EXPECT_FALSE(looks(text_bytes(1'000'000).view()));
  EXPECT_FALSE(looks(read_file("/proc/self/exe", 1 << 30).view()));
  Buffer counting(1'000'000);  // every byte equally often, but in order
  for (size_t i = 0; i < counting.size(); ++i) {
    counting.data()[i] = static_cast<std::byte>(i);
  }
  EXPECT_FALSE(looks(counting.view()));
  Buffer repeated;  // random, but the same 3,000 bytes again and again
  const Buffer unit = random_bytes(3000);
  while (repeated.size() < 1'000'000) {
    repeated.append(unit.view());
  }
  EXPECT_FALSE(looks(repeated.view()));
  std::string digits = to_base64(random_bytes(700'000).view());
  EXPECT_FALSE(looks(as_bytes(digits)));
  Buffer floats(1'000'000);
  for (size_t i = 0; i + 8 <= floats.size(); i += 8) {
    const double value = std::sin(static_cast<double>(i));
    std::memcpy(floats.data() + i, &value, 8);
  }
  EXPECT_EQ(looks(floats.view()), saved(floats.view()) < 0.02);
}

TEST(Zstd, SeesTextWithinRandomBytes) {
  for (const size_t size : {64'000U, 1'000'000U, 4'000'000U}) {
    for (const double share : {0.5, 0.25, 0.1}) {
      for (const bool first : {true, false}) {
        const auto text = static_cast<size_t>(static_cast<double>(size) * share);
        Buffer mixed;
        if (first) {
          mixed.append(text_bytes(text).view());
        }
        mixed.append(random_bytes(size - text).view());
        if (!first) {
          mixed.append(text_bytes(text).view());
        }
        EXPECT_FALSE(looks(mixed.view())) << size << " " << share << " " << first;
      }
    }
  }
}

}  // namespace
}  // namespace salvor
