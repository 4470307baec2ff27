#include "codec/text_cursor.h"

#include <algorithm>
#include <bit>

#include "codec/go_json.h"
#include "codec/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace salvor {
namespace {

constexpr size_t kLongestTime = 64;  // a fraction may be longer than nanoseconds need

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

}  // namespace

bool TextCursor::take_time(Timestamp& out) {
  const char* const start = at_;
  const void* const quote = std::memchr(start, '"', std::min(left(), kLongestTime));
  if (quote == nullptr) {
    return false;
  }
  const std::string_view text(start, static_cast<size_t>(static_cast<const char*>(quote) - start));
  const auto time = parse_go_time(text);
  if (!time) {
    return false;
  }
  out = *time;
  at_ = start + text.size() + 1;
  return true;
}

bool TextCursor::take_quoted(Quoted& out) {
  const char* const start = at_;
#if defined(__SSE2__)
  while (left() >= 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at_));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));  // signed: >= 0x80 too
    const auto special =
        static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), low)));
    if (special != 0) {
      at_ += std::countr_zero(special);
      break;
    }
    at_ += 16;
  }
#endif
  while (at_ != end_ && is_plain(*at_)) {
    ++at_;
  }
  if (at_ == end_) {
    return false;
  }
  if (*at_ != '"') {
    return take_unusual(out, start);
  }
  out = {{start, static_cast<size_t>(at_ - start)}, false};
  ++at_;
  return true;
}

bool TextCursor::take_unusual(Quoted& out, const char* start) {
  out.escaped = false;
  while (at_ != end_ && *at_ != '"') {
    if (static_cast<unsigned char>(*at_) < 0x20) {
      return false;
    }
    if (*at_ == '\\') {
      out.escaped = true;
      ++at_;
      if (at_ == end_ || static_cast<unsigned char>(*at_) < 0x20) {
        return false;
      }
    }
    ++at_;
  }
  if (at_ == end_) {
    return false;
  }
  out.text = {start, static_cast<size_t>(at_ - start)};
  ++at_;
  return is_valid_utf8(out.text);
}

}  // namespace salvor
