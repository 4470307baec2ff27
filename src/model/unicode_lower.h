// Lower case as restic's case-insensitive patterns need it: independent of the locale.
#pragma once

#include <string>
#include <string_view>

namespace salvor {

// One decoded character: U+FFFD with width 1 where `text` is not valid UTF-8. `text` must not be
// empty.
struct FirstRune {
  char32_t rune = 0;
  size_t width = 0;  // bytes
};
[[nodiscard]] FirstRune first_rune(std::string_view text);
void append_utf8(std::string& out, char32_t rune);

// Unicode simple lower case (Unicode 14) of each character; bytes that are not valid UTF-8 become
// U+FFFD, as in Go's strings.ToLower.
[[nodiscard]] std::string to_lower(std::string_view text);

}  // namespace salvor
