#include "codec/json_reader.h"

#include <array>

#include "base/secret.h"
#include "codec/go_json.h"
#include "codec/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace salvor::json_reader {
namespace {

constexpr size_t kKeepBytes = size_t{16}
                              << 20;  // larger parsers and copies are given back after use
constexpr uint32_t kReplacement = 0xfffd;

// Four digits at `text`, which is long enough; nothing when they are not digits.
std::optional<uint32_t> four_digits(std::string_view text) {
  std::array<std::byte, 2> bytes{};
  if (text.size() < 4 || !from_hex(text.substr(0, 4), bytes)) {
    return std::nullopt;
  }
  return std::to_integer<uint32_t>(bytes[0]) << 8 | std::to_integer<uint32_t>(bytes[1]);
}

void append_rune(std::string& out, uint32_t rune) {
  std::array<char, 4> bytes{};
  out.append(bytes.data(), static_cast<size_t>(put_rune(bytes.data(), rune) - bytes.data()));
}

// `text` starts behind "\u"; what was read is taken off.
void unescape_unicode(std::string_view& text, std::string& out) {
  const auto first = four_digits(text);
  if (!first) {
    fail("malformed escape");
  }
  text.remove_prefix(4);
  const bool high = *first >= 0xd800 && *first < 0xdc00;
  if (high && text.size() >= 6 && text[0] == '\\' && text[1] == 'u') {
    const auto second = four_digits(text.substr(2));
    if (second && *second >= 0xdc00 && *second < 0xe000) {
      text.remove_prefix(6);
      append_rune(out, 0x10000 + ((*first - 0xd800) << 10 | (*second - 0xdc00)));
      return;
    }
  }
  const bool surrogate = *first >= 0xd800 && *first < 0xe000;
  append_rune(out, surrogate ? kReplacement : *first);
}

}  // namespace

void fail(std::string_view what) {
  throw Error(ErrorCode::kDamaged, std::string(what));
}

Document Reader::open(ByteView json, size_t limit) {
  if (json.size() > limit) {
    fail("larger than the limit");
  }
  trim();
  if (!parser_) {
    parser_.emplace();
  }
  padded_.resize(json.size() + simdjson::SIMDJSON_PADDING);
  if (!json.empty()) {
    std::memcpy(padded_.data(), json.data(), json.size());
  }
  std::memset(padded_.data() + json.size(), 0, simdjson::SIMDJSON_PADDING);
  end_ = reinterpret_cast<const char*>(padded_.data()) + json.size();
  return parser_
      ->iterate(reinterpret_cast<const char*>(padded_.data()), json.size(), padded_.size())
      .value();
}

void Reader::wipe_input() {
  wipe(padded_.data(), padded_.size());
}

void Reader::close(Document& document) {
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    fail("text after the end");
  }
}

void Reader::trim() {
  if (padded_.capacity() > kKeepBytes) {
    padded_ = Buffer();
    parser_.reset();
  }
}

std::string_view quoted_text(const char* raw) {
  const char* at = raw;
#if defined(__SSE2__)
  // The padding makes it safe to look at sixteen bytes from anywhere within the input.
  for (;;) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto quote =
        static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'))));
    const auto slash =
        static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
    const unsigned both = quote | slash;
    if (both == 0) {
      at += 16;
      continue;
    }
    at += std::countr_zero(both);
    if ((quote & (both & -both)) != 0) {
      return {raw, static_cast<size_t>(at - raw)};
    }
    at += 2;
  }
#else
  while (*at != '"') {
    at += *at == '\\' ? 2 : 1;
  }
  return {raw, static_cast<size_t>(at - raw)};
#endif
}

void unescape(std::string_view text, std::string& out) {
  static constexpr std::string_view kNames = "\"\\/bfnrt";
  static constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  out.clear();
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t plain = std::min(text.find('\\'), text.size());
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) {
      return;
    }
    if (text.size() < 2) {
      fail("malformed escape");
    }
    const char kind = text[1];
    text.remove_prefix(2);
    if (kind == 'u') {
      unescape_unicode(text, out);
      continue;
    }
    const size_t found = kNames.find(kind);
    if (found == std::string_view::npos) {
      fail("malformed escape");
    }
    out += kValues[found];
  }
}

Timestamp read_time(Value& value) {
  const auto time = parse_go_time(quoted_text(value));
  if (!time) {
    fail("malformed time");
  }
  return *time;
}

Buffer read_base64(Value& value) {
  std::string text;  // an encoder may write "/" as "\/"
  read_string(value, text);
  Buffer bytes;
  if (!from_base64(text, bytes)) {
    fail("malformed base64");
  }
  return bytes;
}

}  // namespace salvor::json_reader
