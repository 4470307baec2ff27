#include "base/format.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

namespace salvor {

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) {
    return fmt::format("{} B", bytes);
  }
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.3f} {}", value, kUnits[unit]);
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds >= 3600) {
    return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  }
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  const std::string copy(text);
  if (copy.empty() || std::isdigit(static_cast<unsigned char>(copy[0])) == 0) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  std::string suffix;
  for (; *end != '\0'; ++end) {
    suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(*end)));
  }
  double factor = 1;
  static constexpr std::string_view kSuffixes = "kmgtp";
  if (!suffix.empty() && kSuffixes.find(suffix[0]) != std::string_view::npos) {
    factor = std::exp2(10.0 * static_cast<double>(kSuffixes.find(suffix[0]) + 1));
    suffix.erase(0, 1);
  }
  const bool known = suffix.empty() || suffix == "b" || (suffix == "ib" && factor > 1);
  const double bytes = number * factor;
  if (!known || !std::isfinite(bytes) || bytes < 0 || bytes >= 9.2e18) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(bytes);
}

namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xc2 ? 0
                        : lead < 0xe0 ? 2
                        : lead < 0xf0 ? 3
                        : lead < 0xf5 ? 4
                                      : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) {
      return 0;
    }
  }
  if (length > 2) {
    const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
    const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
    const bool too_large = lead == 0xf4 && byte(1) >= 0x90;
    if (overlong || surrogate || too_large) {
      return 0;
    }
  }
  return length;
}

}  // namespace

std::string printable(std::string_view raw) {
  std::string text;
  text.reserve(raw.size());
  while (!raw.empty()) {
    const auto lead = static_cast<unsigned char>(raw[0]);
    const size_t length = utf8_length(raw);
    // C1 controls (U+0080..U+009F) are as dangerous to a terminal as C0.
    const bool c1 = length == 2 && lead == 0xc2 && static_cast<unsigned char>(raw[1]) < 0xa0;
    if (length == 0 || lead < 0x20 || lead == 0x7f || c1) {
      text += fmt::format("\\x{:02x}", lead);
      raw.remove_prefix(1);
    } else {
      text += raw.substr(0, length);
      raw.remove_prefix(length);
    }
  }
  return text;
}

}  // namespace salvor
