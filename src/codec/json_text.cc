#include "codec/json_text.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "codec/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Nearly every string of a tree is short printable ASCII without specials. So each writer first
// copies whole words while it looks for anything else, and only a string that has something else
// goes through the byte-by-byte code, from its first such byte on. Inputs are never read beyond
// their end: tails are read as words that overlap what was read before.

namespace salvor::json_text {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

// Plain: neither JSON nor Go's quoting changes the byte.
constexpr bool is_plain(unsigned char byte) {
  return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\' && byte != '<' && byte != '>' &&
         byte != '&';
}

constexpr std::array<bool, 256> make_plain_table() {
  std::array<bool, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    table[i] = is_plain(static_cast<unsigned char>(i));
  }
  return table;
}

constexpr auto kPlain = make_plain_table();

size_t copy_plain_bytes(char* out, const char* in, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    if (!kPlain[static_cast<unsigned char>(in[i])]) {
      return i;
    }
    out[i] = in[i];
  }
  return length;
}

#if defined(__SSE2__)

// A bit for each of the sixteen bytes that is not plain.
unsigned special_bits(__m128i bytes) {
  const auto is = [&](char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); };
  const __m128i angle =  // '<' and '>' differ in bit 1 only
      _mm_cmpeq_epi8(_mm_and_si128(bytes, _mm_set1_epi8(static_cast<char>(0xfd))),
                     _mm_set1_epi8('<'));
  const __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));  // signed: bytes >= 0x80 too
  const __m128i quotes = _mm_or_si128(is('"'), is('\\'));
  const __m128i others = _mm_or_si128(is('&'), is(0x7f));
  return static_cast<unsigned>(
      _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(angle, low), _mm_or_si128(quotes, others))));
}

template <class Word>
unsigned copy_two_words(char* out, const char* in, size_t length) {
  Word head;
  Word tail;
  std::memcpy(&head, in, sizeof head);
  std::memcpy(&tail, in + length - sizeof tail, sizeof tail);
  std::memcpy(out, &head, sizeof head);
  std::memcpy(out + length - sizeof tail, &tail, sizeof tail);
  constexpr uint64_t kFill = sizeof(Word) == 4 ? 0x2020202000000000U : 0;  // plain bytes
  return special_bits(
      _mm_set_epi64x(static_cast<int64_t>(tail | kFill), static_cast<int64_t>(head | kFill)));
}

// Copies plain bytes up to the first special one; says how many. May scribble behind them.
size_t copy_plain(char* out, const char* in, size_t length) {
  if (length >= 16) {
    size_t i = 0;
    for (;;) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), bytes);
      const unsigned special = special_bits(bytes);
      if (special != 0) {
        return i + static_cast<size_t>(std::countr_zero(special));
      }
      i += 16;
      if (i == length) {
        return length;
      }
      i = std::min(i, length - 16);
    }
  }
  if (length >= 8) {
    return copy_two_words<uint64_t>(out, in, length) == 0 ? length
                                                          : copy_plain_bytes(out, in, length);
  }
  if (length >= 4) {
    return copy_two_words<uint32_t>(out, in, length) == 0 ? length
                                                          : copy_plain_bytes(out, in, length);
  }
  return copy_plain_bytes(out, in, length);
}

#else

size_t copy_plain(char* out, const char* in, size_t length) {
  return copy_plain_bytes(out, in, length);
}

#endif

char* put_u4(char* out, uint32_t value) {
  out = put_literal(out, "\\u");
  for (int shift = 12; shift >= 0; shift -= 4) {
    *out++ = kDigits[value >> shift & 15U];
  }
  return out;
}

// One ASCII byte as encoding/json writes it within a string.
char* put_json_ascii(char* out, unsigned char byte) {
  if (kPlain[byte] || byte == 0x7f) {
    *out++ = static_cast<char>(byte);
    return out;
  }
  switch (byte) {
    case '"':
      return put_literal(out, "\\\"");
    case '\\':
      return put_literal(out, "\\\\");
    case '\b':
      return put_literal(out, "\\b");
    case '\f':
      return put_literal(out, "\\f");
    case '\n':
      return put_literal(out, "\\n");
    case '\r':
      return put_literal(out, "\\r");
    case '\t':
      return put_literal(out, "\\t");
    default:
      return put_u4(out, byte);
  }
}

char* put_string_slowly(char* out, std::string_view raw) {
  while (!raw.empty()) {
    const Rune rune = decode_rune(raw);
    if (rune.length == 0) {
      out = put_literal(out, "\\ufffd");
      raw.remove_prefix(1);
      continue;
    }
    if (rune.length == 1) {
      out = put_json_ascii(out, static_cast<unsigned char>(raw[0]));
    } else if (rune.value == 0x2028 || rune.value == 0x2029) {
      out = put_u4(out, rune.value);
    } else {
      out = put_bytes(out, raw.substr(0, rune.length));
    }
    raw.remove_prefix(rune.length);
  }
  return out;
}

char* put_hex_digits(char* out, uint32_t value, int count) {
  for (int shift = 4 * (count - 1); shift >= 0; shift -= 4) {
    *out++ = kDigits[value >> shift & 15U];
  }
  return out;
}

// One rune as strconv.Quote and then encoding/json write it: each backslash of the quoting is
// doubled.
char* put_quoted_ascii(char* out, unsigned char byte) {
  static constexpr char kLetters[] = "abtnvfr";  // 0x07..0x0d
  if (byte == '"') {
    return put_literal(out, "\\\\\\\"");
  }
  if (byte == '\\') {
    return put_literal(out, "\\\\\\\\");
  }
  if (byte >= 0x07 && byte <= 0x0d) {
    out = put_literal(out, "\\\\");
    *out++ = kLetters[byte - 0x07];
    return out;
  }
  if (byte < 0x20 || byte == 0x7f) {
    return put_hex_digits(put_literal(out, "\\\\x"), byte, 2);
  }
  return put_json_ascii(out, byte);
}

char* put_name_slowly(char* out, std::string_view raw) {
  while (!raw.empty()) {
    const Rune rune = decode_rune(raw);
    if (rune.length == 0) {
      out = put_hex_digits(put_literal(out, "\\\\x"), static_cast<unsigned char>(raw[0]), 2);
      raw.remove_prefix(1);
      continue;
    }
    if (rune.length == 1) {
      out = put_quoted_ascii(out, static_cast<unsigned char>(raw[0]));
    } else if (is_printable_rune(rune.value)) {
      out = put_bytes(out, raw.substr(0, rune.length));  // U+2028 and U+2029 are not printable
    } else if (rune.value < 0x10000) {
      out = put_hex_digits(put_literal(out, "\\\\u"), rune.value, 4);
    } else {
      out = put_hex_digits(put_literal(out, "\\\\U"), rune.value, 8);
    }
    raw.remove_prefix(rune.length);
  }
  return out;
}

constexpr std::array<char, 200> make_pairs() {
  std::array<char, 200> pairs{};
  for (size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}

constexpr auto kPairs = make_pairs();

char* put_pair(char* out, unsigned value) {
  std::memcpy(out, &kPairs[2 * static_cast<size_t>(value)], 2);
  return out + 2;
}

struct Date {
  int64_t year;
  unsigned month;  // 1..12
  unsigned day;    // 1..31
};

// The proleptic Gregorian calendar. A year is counted from March, so that the leap day is its last.
Date date_from_days(int64_t days) {
  constexpr int64_t kDaysPerEra = 146097;  // 400 years
  days += 719468;                          // since 0000-03-01
  const int64_t era = (days >= 0 ? days : days - (kDaysPerEra - 1)) / kDaysPerEra;
  const auto day_of_era = static_cast<unsigned>(days - era * kDaysPerEra);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned month_from_march = (5 * day_of_year + 2) / 153;
  const unsigned day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  return {era * 400 + year_of_era + (month <= 2 ? 1 : 0), month, day};
}

// restic shifts years that RFC 3339 cannot express by whole years; Go's calendar arithmetic then
// turns a 29 February that does not exist into 1 March (9999 is no leap year, 0 is one).
Date into_range(Date date) {
  if (date.year < 0) {
    date.year = 0;
  } else if (date.year > 9999) {
    date.year = 9999;
    if (date.month == 2 && date.day == 29) {
      date.month = 3;
      date.day = 1;
    }
  }
  return date;
}

char* put_fraction(char* out, uint32_t nanoseconds) {
  if (nanoseconds == 0) {
    return out;
  }
  *out++ = '.';
  *out++ = static_cast<char>('0' + nanoseconds / 100'000'000);
  const uint32_t low = nanoseconds % 100'000'000;
  put_pair(out, low / 1'000'000);
  put_pair(out + 2, low / 10'000 % 100);
  put_pair(out + 4, low / 100 % 100);
  put_pair(out + 6, low % 100);
  out += 8;
  while (out[-1] == '0') {
    --out;
  }
  return out;
}

char* put_zone(char* out, int32_t offset_seconds) {
  if (offset_seconds == 0) {
    *out++ = 'Z';
    return out;
  }
  const int minutes = offset_seconds / 60;
  *out++ = minutes < 0 ? '-' : '+';
  const auto magnitude = static_cast<unsigned>(std::abs(minutes));
  out = put_pair(out, magnitude / 60 % 100);
  *out++ = ':';
  return put_pair(out, magnitude % 60);
}

}  // namespace

char* put_string(char* out, std::string_view raw) {
  *out++ = '"';
  const size_t plain = copy_plain(out, raw.data(), raw.size());
  out += plain;
  if (plain != raw.size()) {
    out = put_string_slowly(out, raw.substr(plain));
  }
  *out++ = '"';
  return out;
}

char* put_name(char* out, std::string_view raw) {
  *out++ = '"';
  const size_t plain = copy_plain(out, raw.data(), raw.size());
  out += plain;
  if (plain != raw.size()) {
    out = put_name_slowly(out, raw.substr(plain));
  }
  *out++ = '"';
  return out;
}

char* put_time(char* out, const Timestamp& time) {
  // Beyond this, years are far out of range anyway, and sums cannot overflow below it.
  constexpr int64_t kFar = int64_t{1} << 60;
  constexpr int64_t kDay = 86400;
  const int64_t local = std::clamp(time.seconds, -kFar, kFar) + time.utc_offset_seconds;
  const int64_t days = (local >= 0 ? local : local - (kDay - 1)) / kDay;
  const auto second_of_day = static_cast<unsigned>(local - days * kDay);
  const Date date = into_range(date_from_days(days));
  out = put_pair(out, static_cast<unsigned>(date.year) / 100);
  out = put_pair(out, static_cast<unsigned>(date.year) % 100);
  *out++ = '-';
  out = put_pair(out, date.month);
  *out++ = '-';
  out = put_pair(out, date.day);
  *out++ = 'T';
  out = put_pair(out, second_of_day / 3600);
  *out++ = ':';
  out = put_pair(out, second_of_day / 60 % 60);
  *out++ = ':';
  out = put_pair(out, second_of_day % 60);
  out = put_fraction(out, time.nanoseconds % 1'000'000'000);
  return put_zone(out, time.utc_offset_seconds);
}

char* put_decimal(char* out, uint64_t value) {
  std::array<char, kMaxDecimal> digits;
  char* begin = digits.data() + digits.size();
  while (value >= 100) {
    begin -= 2;
    std::memcpy(begin, &kPairs[2 * (value % 100)], 2);
    value /= 100;
  }
  if (value >= 10) {
    begin -= 2;
    std::memcpy(begin, &kPairs[2 * value], 2);
  } else {
    *--begin = static_cast<char>('0' + value);
  }
  return put_bytes(out, {begin, static_cast<size_t>(digits.data() + digits.size() - begin)});
}

}  // namespace salvor::json_text
