#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/buffer_pool.h"
#include "base/format.h"
#include "base/id.h"
#include "base/random.h"
#include "base/secret.h"

namespace salvor {
namespace {

TEST(Buffer, GrowsAndKeepsItsContent) {
  Buffer buffer;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string part(static_cast<size_t>(i % 17), static_cast<char>('a' + i % 26));
    buffer.append(part);
    expected += part;
  }
  EXPECT_EQ(as_text(buffer.view()), expected);
  buffer.append(ByteView());
  buffer.append(buffer.view(0, 0));
  EXPECT_EQ(buffer.size(), expected.size());
  const Buffer moved = std::move(buffer);
  EXPECT_EQ(as_text(moved.view()), expected);
  EXPECT_EQ(as_text(Buffer::copy_of(moved.view()).view()), expected);
}

TEST(Buffer, ClearedItKeepsNoMoreMemoryThanAsked) {
  Buffer buffer(5000);
  buffer.clear_keeping(10000);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 5000U);
  buffer.append("abc");
  buffer.clear_keeping(1000);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.capacity(), 1000U);
  buffer.append("abc");
  EXPECT_EQ(as_text(buffer.view()), "abc");
  buffer.clear_keeping(0);
  EXPECT_EQ(buffer.capacity(), 0U);
}

TEST(BufferPool, GivesBackWhatItWasGivenAndKeepsLittle) {
  BufferPool pool(1, 1000);
  EXPECT_EQ(pool.take().capacity(), 0U);
  pool.give_back(Buffer(5000));
  pool.give_back(Buffer(700));  // one too many
  const Buffer again = pool.take();
  EXPECT_TRUE(again.empty());
  EXPECT_EQ(again.capacity(), 1000U);
  EXPECT_EQ(pool.take().capacity(), 0U);
}

TEST(Buffer, ExtendGivesExactlyTheNewBytes) {
  Buffer buffer;
  buffer.append("head");
  const MutableBytes fresh = buffer.extend(3);
  ASSERT_EQ(fresh.size(), 3U);
  std::memcpy(fresh.data(), "abc", 3);
  EXPECT_EQ(as_text(buffer.view()), "headabc");
}

TEST(Hex, RoundTripsAndRefusesNonsense) {
  Buffer all(256);
  for (size_t i = 0; i < 256; ++i) {
    all.bytes()[i] = static_cast<std::byte>(i);
  }
  Buffer back(256);
  ASSERT_TRUE(from_hex(to_hex(all.view()), back.bytes()));
  EXPECT_EQ(as_text(back.view()), as_text(all.view()));
  std::byte out[2];
  EXPECT_TRUE(from_hex("aBcD", out));
  for (const char* bad : {"", "abc", "abcde", "abcg", "ab d", "0x12"}) {
    EXPECT_FALSE(from_hex(bad, out)) << bad;
  }
  // Every byte that is no digit, in either place.
  for (int c = 0; c < 256; ++c) {
    const bool digit = std::isxdigit(c) != 0;
    const std::string high = {static_cast<char>(c), '0'};
    const std::string low = {'0', static_cast<char>(c)};
    EXPECT_EQ(from_hex(high, {out, 1}), digit) << c;
    EXPECT_EQ(from_hex(low, {out, 1}), digit) << c;
  }
}

TEST(Id, ParsesExactly64Digits) {
  const std::string hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
  const auto id = BlobId::parse(hex);
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(id->hex(), hex);
  EXPECT_EQ(id->short_hex(), "00112233");
  EXPECT_FALSE(id->is_null());
  EXPECT_TRUE(BlobId().is_null());
  EXPECT_FALSE(BlobId::parse(hex.substr(1)).has_value());
  EXPECT_FALSE(BlobId::parse(hex + "0").has_value());
  EXPECT_LT(BlobId(), *id);
}

TEST(Random, SeedsRepeatAndTheKernelDoesNot) {
  Buffer first(1000);
  Buffer second(1000);
  SeededRandom(5).fill(first.bytes());
  SeededRandom(5).fill(second.bytes());
  EXPECT_EQ(as_text(first.view()), as_text(second.view()));
  SeededRandom(6).fill(second.bytes());
  EXPECT_NE(as_text(first.view()), as_text(second.view()));
  // Sizes on either side of the read-ahead; a portion that is given out twice would show.
  SystemRandom random;
  std::string seen;
  for (const size_t size : {size_t{16}, size_t{1000}, size_t{1024}, size_t{5000}, size_t{16}}) {
    Buffer bytes(size);
    random.fill(bytes.bytes());
    EXPECT_EQ(seen.find(as_text(bytes.view(0, 16))), std::string::npos);
    seen += as_text(bytes.view());
  }
}

TEST(Secret, IsWipedWhereItWas) {
  std::string text = "correct horse battery staple";
  wipe(text.data(), text.size());
  EXPECT_EQ(text, std::string(text.size(), '\0'));
  Secret secret(std::string("a password that is not short"));
  const Secret copy = secret;
  const Secret moved = std::move(secret);
  EXPECT_TRUE(secret.empty());  // NOLINT(bugprone-use-after-move): what is promised
  EXPECT_EQ(copy.reveal(), moved.reveal());
  EXPECT_EQ(moved.reveal(), "a password that is not short");
}

TEST(Format, DurationsReadAsResticPrintsThem) {
  using namespace std::chrono_literals;
  EXPECT_EQ(format_duration(7s), "0:07");
  EXPECT_EQ(format_duration(123s), "2:03");
  EXPECT_EQ(format_duration(3723s), "1:02:03");
  EXPECT_EQ(format_duration(100h), "100:00:00");
}

}  // namespace
}  // namespace salvor
