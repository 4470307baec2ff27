// Hexadecimal ids at vector speed. Trees and indexes are mostly made of them.
#pragma once

#include "base/id.h"

namespace salvor {

inline constexpr size_t kHexIdLength = 64;

// Writes 64 lower-case digits and returns the end.
char* put_hex(char* out, const Digest& digest);

// Reads 64 digits of either case starting at `text`, which must have that many readable bytes.
// False when one of them is not a digit; `out` is then unspecified.
[[nodiscard]] bool read_hex(const char* text, Digest& out);

}  // namespace salvor
