#include "codec/go_json.h"

#include <array>

#include "codec/json_text.h"
#include "codec/utf8.h"

namespace salvor {
namespace {

// Appends what `put` writes into at most `bound` bytes.
template <class Put>
void append_bounded(std::string& out, size_t bound, Put put) {
  const size_t old_size = out.size();
  out.resize(old_size + bound);
  char* end = put(out.data() + old_size);
  out.resize(static_cast<size_t>(end - out.data()));
}

constexpr uint32_t kReplacement = 0xfffd;

// Reads the escape behind a backslash; takes it off `text`.
class Unquoter {
 public:
  explicit Unquoter(std::string_view text) : rest_(text) { result_.reserve(text.size()); }

  std::optional<std::string> run() {
    while (!rest_.empty()) {
      const char next = rest_[0];
      if (next == '"' || next == '\n') {
        return std::nullopt;
      }
      if (next == '\\') {
        rest_.remove_prefix(1);
        if (!escape()) {
          return std::nullopt;
        }
        continue;
      }
      const Rune rune = decode_rune(rest_);
      if (rune.length == 0) {
        append(kReplacement);
        rest_.remove_prefix(1);
      } else {
        result_.append(rest_.substr(0, rune.length));
        rest_.remove_prefix(rune.length);
      }
    }
    return std::move(result_);
  }

 private:
  bool escape() {
    if (rest_.empty()) {
      return false;
    }
    const char kind = rest_[0];
    switch (kind) {
      case 'x':
        rest_.remove_prefix(1);
        return byte(2, 16);
      case 'u':
        rest_.remove_prefix(1);
        return rune(4);
      case 'U':
        rest_.remove_prefix(1);
        return rune(8);
      default:
        break;
    }
    if (kind >= '0' && kind <= '7') {
      return byte(3, 8);
    }
    static constexpr std::string_view kNames = "abfnrtv\\\"";
    static constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\\"";
    const size_t found = kNames.find(kind);
    if (found == std::string_view::npos) {
      return false;
    }
    result_ += kValues[found];
    rest_.remove_prefix(1);
    return true;
  }

  // `count` digits in the base; nothing when there are fewer.
  std::optional<uint32_t> number(size_t count, uint32_t base) {
    if (rest_.size() < count) {
      return std::nullopt;
    }
    uint32_t value = 0;
    for (const char c : rest_.substr(0, count)) {
      const auto lower = static_cast<unsigned char>(c | 0x20);
      const uint32_t digit = c >= '0' && c <= '9'           ? static_cast<uint32_t>(c - '0')
                             : lower >= 'a' && lower <= 'f' ? lower - uint32_t{'a'} + 10
                                                            : 99;
      if (digit >= base) {
        return std::nullopt;
      }
      value = value * base + digit;
    }
    rest_.remove_prefix(count);
    return value;
  }

  bool byte(size_t count, uint32_t base) {
    const auto value = number(count, base);
    if (!value || *value > 0xff) {
      return false;
    }
    result_ += static_cast<char>(*value);
    return true;
  }

  bool rune(size_t count) {
    const auto value = number(count, 16);
    if (!value || *value > 0x10ffff || (*value >= 0xd800 && *value < 0xe000)) {
      return false;
    }
    append(*value);
    return true;
  }

  void append(uint32_t rune) {
    std::array<char, 4> bytes{};
    result_.append(bytes.data(), static_cast<size_t>(put_rune(bytes.data(), rune) - bytes.data()));
  }

  std::string_view rest_;
  std::string result_;
};

// Two digits at `text`; above 99 when they are not digits.
unsigned two_digits(const char* text) {
  const auto tens = static_cast<unsigned>(static_cast<unsigned char>(text[0]) - '0');
  const auto ones = static_cast<unsigned>(static_cast<unsigned char>(text[1]) - '0');
  return tens > 9 || ones > 9 ? 1000 : tens * 10 + ones;
}

unsigned days_in_month(unsigned year, unsigned month) {
  static constexpr std::array<uint8_t, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return kDays[month - 1] + (month == 2 && leap ? 1U : 0U);
}

int64_t days_from_date(unsigned year, unsigned month, unsigned day) {
  const int64_t from_march = month > 2 ? month - 3 : month + 9;
  const int64_t shifted = int64_t{year} - (month <= 2 ? 1 : 0);
  const int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
  const int64_t year_of_era = shifted - era * 400;
  const int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

// ".123" to nanoseconds; takes it off `rest`. Digits beyond the ninth are dropped, as Go drops
// them.
bool take_fraction(std::string_view& rest, uint32_t& nanoseconds) {
  nanoseconds = 0;
  if (rest.empty() || rest[0] != '.') {
    return true;
  }
  size_t i = 1;
  uint32_t scale = 100'000'000;
  for (; i < rest.size() && rest[i] >= '0' && rest[i] <= '9'; ++i) {
    nanoseconds += static_cast<uint32_t>(rest[i] - '0') * scale;
    scale /= 10;
  }
  if (i == 1) {
    return false;
  }
  rest.remove_prefix(i);
  return true;
}

std::optional<int32_t> parse_zone(std::string_view zone) {
  if (zone == "Z") {
    return 0;
  }
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') {
    return std::nullopt;
  }
  const unsigned hours = two_digits(zone.data() + 1);
  const unsigned minutes = two_digits(zone.data() + 4);
  if (hours > 24 || minutes > 60) {  // Go's own limits
    return std::nullopt;
  }
  const auto offset = static_cast<int32_t>(hours * 3600 + minutes * 60);
  return zone[0] == '-' ? -offset : offset;
}

}  // namespace

void append_json_string(std::string& out, std::string_view raw) {
  append_bounded(out, json_text::string_bound(raw.size()),
                 [&](char* to) { return json_text::put_string(to, raw); });
}

void append_json_name(std::string& out, std::string_view raw) {
  append_bounded(out, json_text::string_bound(raw.size()),
                 [&](char* to) { return json_text::put_name(to, raw); });
}

std::optional<std::string> unquote_go(std::string_view quoted) {
  return Unquoter(quoted).run();
}

void append_go_time(std::string& out, const Timestamp& time) {
  append_bounded(out, json_text::kMaxTime, [&](char* to) { return json_text::put_time(to, time); });
}

std::optional<Timestamp> parse_go_time(std::string_view text) {
  constexpr size_t kToSeconds = 19;  // 2006-01-02T15:04:05
  if (text.size() <= kToSeconds || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
      text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const char* at = text.data();
  const unsigned year_high = two_digits(at);
  const unsigned year_low = two_digits(at + 2);
  const unsigned year = year_high * 100 + year_low;
  const unsigned month = two_digits(at + 5);
  const unsigned day = two_digits(at + 8);
  const unsigned hour = two_digits(at + 11);
  const unsigned minute = two_digits(at + 14);
  const unsigned second = two_digits(at + 17);
  if (year_high > 99 || year_low > 99 || month < 1 || month > 12 || day < 1 ||
      day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59) {
    return std::nullopt;
  }
  std::string_view rest = text.substr(kToSeconds);
  Timestamp time;
  if (!take_fraction(rest, time.nanoseconds)) {
    return std::nullopt;
  }
  const auto offset = parse_zone(rest);
  if (!offset) {
    return std::nullopt;
  }
  time.utc_offset_seconds = *offset;
  const unsigned second_of_day = hour * 3600 + minute * 60 + second;
  time.seconds = days_from_date(year, month, day) * 86400 + second_of_day - *offset;
  return time;
}

void append_decimal(std::string& out, uint64_t value) {
  std::array<char, json_text::kMaxDecimal> digits;
  const char* end = json_text::put_decimal(digits.data(), value);
  out.append(digits.data(), static_cast<size_t>(end - digits.data()));
}

}  // namespace salvor
