#include "codec/hex.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace salvor {

#if defined(__SSE2__)

namespace {

// 0..15 in each byte to '0'..'9', 'a'..'f'.
__m128i digits_of(__m128i nibbles) {
  const __m128i letters = _mm_cmpgt_epi8(nibbles, _mm_set1_epi8(9));
  const __m128i base = _mm_add_epi8(nibbles, _mm_set1_epi8('0'));
  return _mm_add_epi8(base, _mm_and_si128(letters, _mm_set1_epi8('a' - '0' - 10)));
}

// Sixteen digits to sixteen values; adds the positions that hold something else to `bad`.
__m128i values_of(__m128i digits, __m128i& bad) {
  // Unsigned "x <= n" is min(x, n) == x, which is right for bytes above 0x7f too.
  const __m128i number = _mm_sub_epi8(digits, _mm_set1_epi8('0'));
  const __m128i letter =
      _mm_sub_epi8(_mm_or_si128(digits, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
  const __m128i is_number = _mm_cmpeq_epi8(_mm_min_epu8(number, _mm_set1_epi8(9)), number);
  const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
  bad = _mm_or_si128(bad, _mm_cmpeq_epi8(_mm_or_si128(is_number, is_letter), _mm_setzero_si128()));
  return _mm_or_si128(_mm_and_si128(is_number, number),
                      _mm_and_si128(is_letter, _mm_add_epi8(letter, _mm_set1_epi8(10))));
}

// Pairs of values (high, low) to eight bytes, each in the low half of a 16-bit lane.
__m128i join(__m128i values) {
  const __m128i high = _mm_slli_epi16(_mm_and_si128(values, _mm_set1_epi16(0x0f)), 4);
  return _mm_or_si128(high, _mm_srli_epi16(values, 8));
}

}  // namespace

char* put_hex(char* out, const Digest& digest) {
  const __m128i mask = _mm_set1_epi8(15);
  for (size_t i = 0; i < digest.size(); i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(digest.data() + i));
    const __m128i high = digits_of(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
    const __m128i low = digits_of(_mm_and_si128(bytes, mask));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_unpacklo_epi8(high, low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16), _mm_unpackhi_epi8(high, low));
    out += 32;
  }
  return out;
}

bool read_hex(const char* text, Digest& out) {
  __m128i bad = _mm_setzero_si128();
  for (size_t i = 0; i < out.size(); i += 16) {
    const auto* in = reinterpret_cast<const __m128i*>(text + 2 * i);
    const __m128i first = join(values_of(_mm_loadu_si128(in), bad));
    const __m128i second = join(values_of(_mm_loadu_si128(in + 1), bad));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out.data() + i), _mm_packus_epi16(first, second));
  }
  return _mm_movemask_epi8(bad) == 0;
}

#else

char* put_hex(char* out, const Digest& digest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const std::byte byte : digest) {
    *out++ = kDigits[std::to_integer<unsigned>(byte) >> 4];
    *out++ = kDigits[std::to_integer<unsigned>(byte) & 15U];
  }
  return out;
}

bool read_hex(const char* text, Digest& out) {
  return from_hex({text, kHexIdLength}, out);
}

#endif

}  // namespace salvor
