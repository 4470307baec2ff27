#include "connector/postgres/tar_parser.h"

#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor::postgres {
namespace {

using testing::ElementsAre;

struct Collector final : TarReceiver {
  std::vector<TarEntry> entries;
  std::vector<std::string> contents;
  size_t ended = 0;
  void entry(const TarEntry& entry) override {
    entries.push_back(entry);
    if (entry.type == TarEntryType::kFile) {
      contents.emplace_back();
    }
  }
  void content(ByteView bytes) override { contents.back() += as_text(bytes); }
  void file_end() override { ++ended; }
};

// One ustar block as PostgreSQL writes it.
std::string block(const std::string& name, char type, uint64_t size, const std::string& link = "") {
  std::string header(512, '\0');
  const auto put = [&](size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  char text[16];
  put(0, name);
  put(100, "0000600 ");
  put(108, "0000145 ");
  put(116, "0000145 ");
  if (size < (uint64_t{1} << 33)) {
    std::snprintf(text, sizeof text, "%011lo ", static_cast<unsigned long>(size));
    put(124, text);
  } else {
    header[124] = '\x80';
    for (size_t i = 0; i < 8; ++i) {
      header[135 - i] = static_cast<char>(size >> (8 * i));
    }
  }
  put(136, "15055555555 ");
  put(148, "        ");
  header[156] = type;
  put(157, link);
  put(257, std::string("ustar\0"
                       "00",
                       8));
  put(265, "postgres");
  unsigned sum = 0;
  for (const char c : header) {
    sum += static_cast<unsigned char>(c);
  }
  std::snprintf(text, sizeof text, "%06o", sum);
  put(148, std::string(text, 7) + " ");
  return header;
}

std::string padded(std::string content) {
  content.resize((content.size() + 511) / 512 * 512);
  return content;
}

void feed_in_steps(TarParser& parser, const std::string& archive, size_t step) {
  for (size_t at = 0; at < archive.size(); at += step) {
    parser.feed(as_bytes(std::string_view(archive).substr(at, step)));
  }
  parser.finish();
}

TEST(PostgresTar, ComesApartTheSameInPiecesOfAnySize) {
  const std::string big(1300, 'x');
  const std::string archive = block("backup_label", '0', 3) + padded("abc") +
                              block("./pg_wal/", '5', 0) + block("base/1/2", '0', big.size()) +
                              padded(big) + block("empty", '0', 0) +
                              block("pg_wal/link", '2', 0, "/elsewhere") + std::string(1024, '\0');
  for (const size_t step : {1U, 7U, 511U, 512U, 513U, 100000U}) {
    Collector got;
    TarParser parser(got);
    feed_in_steps(parser, archive, step);
    ASSERT_EQ(got.entries.size(), 5U);
    EXPECT_THAT(got.contents, ElementsAre("abc", big, ""));
    EXPECT_EQ(got.ended, 3U);
    EXPECT_EQ(got.entries[1].path, "pg_wal");
    EXPECT_EQ(got.entries[1].type, TarEntryType::kDirectory);
    EXPECT_EQ(got.entries[4].link_target, "/elsewhere");
    EXPECT_EQ(got.entries[0].permissions, 0600U);
    EXPECT_EQ(got.entries[0].uid, 101U);
  }
}

TEST(PostgresTar, LargeSizesAreInBase256) {
  Collector got;
  TarParser parser(got);
  parser.feed(as_bytes(block("huge", '0', (uint64_t{9} << 30) + 1)));
  EXPECT_EQ(got.entries.at(0).size, (uint64_t{9} << 30) + 1);
  EXPECT_THROW(parser.finish(), Error) << "it must not end here";
}

TEST(PostgresTar, PathsThatLeaveTheTreeAreRefused) {
  for (const char* path : {"/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "..", ""}) {
    Collector got;
    TarParser parser(got);
    EXPECT_THROW(parser.feed(as_bytes(block(path, '0', 0))), Error) << path;
    EXPECT_TRUE(got.entries.empty());
  }
}

TEST(PostgresTar, DamageIsRefused) {
  std::string wrong_sum = block("a", '0', 0);
  wrong_sum[0] = 'b';
  const std::string ended = std::string(512, '\0') + block("a", '0', 0);
  for (const std::string& archive : {wrong_sum, ended, block("a", '3', 0)}) {
    Collector got;
    TarParser parser(got);
    EXPECT_THROW(parser.feed(as_bytes(archive)), Error);
  }
  Collector got;
  TarParser parser(got);
  parser.feed(as_bytes(block("a", '0', 600) + std::string(600, 'x')));
  EXPECT_THROW(parser.finish(), Error) << "the padding is missing";
}

}  // namespace
}  // namespace salvor::postgres
