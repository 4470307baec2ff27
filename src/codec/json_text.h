// The writers behind go_json.h, on raw memory: the caller reserves the stated number of bytes and
// gets the new end back. Each may scribble up to kScribble bytes past the end it returns.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "model/timestamp.h"

namespace salvor::json_text {

inline constexpr size_t kScribble = 16;
inline constexpr size_t kMaxDecimal = 20;
inline constexpr size_t kMaxTime = 40;  // without quotes

// Bytes to reserve for put_string or put_name of `length` bytes: `<` becomes six, and the quotes.
[[nodiscard]] constexpr size_t string_bound(size_t length) {
  return 6 * length + 2 + kScribble;
}

char* put_string(char* out, std::string_view raw);
char* put_name(char* out, std::string_view raw);
char* put_time(char* out, const Timestamp& time);
char* put_decimal(char* out, uint64_t value);

inline char* put_bytes(char* out, std::string_view text) {
  std::copy_n(text.data(), text.size(), out);
  return out + text.size();
}

// A literal whose length the compiler knows, so that it becomes a few stores.
template <size_t N>
char* put_literal(char* out, const char (&text)[N]) {
  std::memcpy(out, text, N - 1);
  return out + (N - 1);
}

}  // namespace salvor::json_text
