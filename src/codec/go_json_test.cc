#include "codec/go_json.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "base/fd.h"
#include "codec/json_text.h"
#include "codec/utf8.h"
#include "support/test_data.h"

namespace salvor {
namespace {

simdjson::dom::element load(simdjson::dom::parser& parser, const char* name) {
  return parser.load(test::test_data(name)).value();
}

std::string raw_of(simdjson::dom::element hex) {
  const std::string_view digits = hex.get_string().value();
  std::string raw(digits.size() / 2, '\0');
  EXPECT_TRUE(from_hex(digits, {reinterpret_cast<std::byte*>(raw.data()), raw.size()}));
  return raw;
}

std::string json_string(std::string_view raw) {
  std::string out = "x";
  append_json_string(out, raw);
  return out.substr(1);
}

std::string json_name(std::string_view raw) {
  std::string out;
  append_json_name(out, raw);
  return out;
}

std::string go_time(const Timestamp& time) {
  std::string out;
  append_go_time(out, time);
  return out;
}

TEST(GoJson, WritesStringsAndNamesAsTheCurrentGoDoes) {
  simdjson::dom::parser parser;
  size_t count = 0;
  for (const auto item : load(parser, "go-text.json")["texts"].get_array()) {
    const std::string raw = raw_of(item["in_hex"]);
    EXPECT_EQ(json_string(raw), raw_of(item["json_hex"])) << to_hex(as_bytes(raw));
    EXPECT_EQ(json_name(raw), raw_of(item["name_json_hex"])) << to_hex(as_bytes(raw));
    ++count;
  }
  EXPECT_GT(count, 800U);
}

// The older Go differs in two ways that are meant: \b and \f, and runes that Unicode 15 added.
TEST(GoJson, WritesWhatOlderGoWroteButForTheKnownDifferences) {
  simdjson::dom::parser parser;
  size_t count = 0;
  for (const auto item : load(parser, "go-encoding.json")["strings"].get_array()) {
    const std::string raw = raw_of(item["in_hex"]);
    const std::string name = json_name(raw);
    if (name != raw_of(item["name_json_hex"])) {
      EXPECT_EQ(raw, "\U0001fae8") << "differs: " << name;
    }
    std::string text = json_string(raw);
    if (raw.find_first_of("\b\f") != std::string::npos) {
      continue;
    }
    EXPECT_EQ(text, raw_of(item["plain_json_hex"]));
    const std::string quoted = raw_of(item["strconv_quoted_inner_hex"]);
    EXPECT_EQ(unquote_go(quoted), raw) << quoted;
    ++count;
  }
  EXPECT_GT(count, 25U);
}

TEST(GoJson, PrintTableContainsThatOfUnicode13) {
  const Buffer file = read_file(test::test_data("go1.19-strconv-isprint-ranges.txt"), 1 << 20);
  std::string_view text = as_text(file.view());
  std::vector<bool> older(0x110000);
  while (!text.empty()) {
    const size_t dots = text.find("..");
    const size_t line = text.find('\n');
    const auto first = std::stoul(std::string(text.substr(0, dots)), nullptr, 16);
    const auto last = std::stoul(std::string(text.substr(dots + 2, line - dots - 2)), nullptr, 16);
    std::fill(older.begin() + static_cast<ptrdiff_t>(first),
              older.begin() + static_cast<ptrdiff_t>(last) + 1, true);
    text.remove_prefix(line + 1);
  }
  size_t added = 0;
  for (uint32_t rune = 0; rune < older.size(); ++rune) {
    if (older[rune]) {
      ASSERT_TRUE(is_printable_rune(rune)) << std::hex << rune;
    } else {
      added += is_printable_rune(rune) ? 1U : 0U;
    }
  }
  EXPECT_EQ(added, 838U + 4489U - 9U);  // Unicode 14 and 15, less the format characters
}

TEST(GoJson, UnquotesWhatGoUnquotesAndRefusesWhatGoRefuses) {
  simdjson::dom::parser parser;
  size_t refused = 0;
  size_t count = 0;
  for (const auto item : load(parser, "go-text.json")["unquotes"].get_array()) {
    const std::string quoted = raw_of(item["in_hex"]);
    const auto result = unquote_go(quoted);
    ++count;
    if (item["out_hex"].is_null()) {
      EXPECT_FALSE(result) << quoted;
      ++refused;
    } else {
      EXPECT_EQ(result, raw_of(item["out_hex"])) << quoted;
    }
  }
  EXPECT_GT(refused, 100U);
  EXPECT_GT(count - refused, 100U);
}

TEST(GoJson, WritesTimesAsGoDoes) {
  simdjson::dom::parser parser;
  size_t count = 0;
  for (const auto item : load(parser, "go-encoding.json")["times"].get_array()) {
    const std::string zone(item["tz"].get_string().value());
    setenv("TZ", zone.c_str(), 1);
    tzset();
    LocalZone local;
    const auto time = local.stamp(item["unix_sec"].get_int64().value(),
                                  static_cast<uint32_t>(item["nsec"].get_uint64().value()));
    const std::string expected(item["json"].get_string().value());
    EXPECT_EQ(go_time(time), expected) << zone << " " << time.seconds;
    ++count;
  }
  unsetenv("TZ");
  tzset();
  EXPECT_EQ(count, 84U);
}

TEST(GoJson, KeepsExtremeTimesWithinFourDigitYears) {
  EXPECT_EQ(go_time({INT64_MAX, 999'999'999, 50400}).size(), 35U);
  EXPECT_EQ(go_time({INT64_MIN, 0, -43200}).substr(0, 5), "0000-");
  // 10000-02-29 does not exist in 9999
  EXPECT_EQ(go_time({253407398400, 0, 0}), "9999-03-01T00:00:00Z");
  EXPECT_EQ(go_time({253402300799, 0, 0}), "9999-12-31T23:59:59Z");
  EXPECT_EQ(go_time({-62167219200, 0, 0}), "0000-01-01T00:00:00Z");
}

TEST(GoJson, ReadsTheTimesThatGoReads) {
  simdjson::dom::parser parser;
  size_t accepted = 0;
  size_t refused = 0;
  for (const auto item : load(parser, "go-text.json")["times"].get_array()) {
    const std::string text(item["in"].get_string().value());
    const auto time = parse_go_time(text);
    if (!item["ok"].get_bool().value()) {
      EXPECT_FALSE(time) << text;
      ++refused;
      continue;
    }
    // Go's parser is lax in two ways that no writer of repositories uses; we are not.
    if (text.find(',') != std::string::npos || text.find("T") + 2 == text.find(':')) {
      continue;
    }
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(time->seconds, item["unix_sec"].get_int64().value()) << text;
    EXPECT_EQ(time->nanoseconds, item["nsec"].get_uint64().value()) << text;
    EXPECT_EQ(time->utc_offset_seconds, item["offset"].get_int64().value()) << text;
    ++accepted;
  }
  EXPECT_GT(accepted, 100U);
  EXPECT_GT(refused, 500U);
}

TEST(GoJson, TimesRoundTrip) {
  uint64_t seed = 42;
  for (int i = 0; i < 20000; ++i) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    Timestamp time;
    time.seconds = static_cast<int64_t>(seed >> 16) % 253402200000 -
                   static_cast<int64_t>(seed % 60'000'000'000);
    time.nanoseconds = static_cast<uint32_t>((seed >> 20) % 1'000'000'000);
    time.utc_offset_seconds = static_cast<int32_t>((seed >> 8) % 1680) * 60 - 840 * 60;
    const std::string text = go_time(time);
    EXPECT_EQ(parse_go_time(text), time) << text;
  }
}

TEST(GoJson, Decimals) {
  std::string out;
  for (const uint64_t value : {uint64_t{0}, uint64_t{9}, uint64_t{10}, uint64_t{99}, uint64_t{100},
                               uint64_t{12345}, UINT64_MAX}) {
    append_decimal(out, value);
    out += ' ';
  }
  EXPECT_EQ(out, "0 9 10 99 100 12345 18446744073709551615 ");
}

}  // namespace
}  // namespace salvor
