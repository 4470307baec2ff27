// UTF-8 as Go decodes it, and Go's idea of a printable rune.
#pragma once

#include <cstdint>
#include <string_view>

namespace salvor {

struct Rune {
  uint32_t value = 0;
  unsigned length = 0;  // bytes; 0: the first byte starts no well-formed sequence
};

// The first rune of a non-empty text. Surrogates, overlong forms and truncated sequences are
// malformed.
[[nodiscard]] Rune decode_rune(std::string_view text);

[[nodiscard]] bool is_valid_utf8(std::string_view text);

// Writes 1 to 4 bytes and returns the end. `rune` must be a Unicode scalar value.
char* put_rune(char* out, uint32_t rune);

// Go's strconv.IsPrint with the Unicode 15 table (see tools/generate_printable.go).
[[nodiscard]] bool is_printable_rune(uint32_t rune);

}  // namespace salvor
