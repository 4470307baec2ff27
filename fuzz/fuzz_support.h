// What the fuzz programs share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>

#include "base/bytes.h"
#include "base/error.h"

namespace salvor::fuzz {

[[nodiscard]] inline ByteView input(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}

// A wrong result, as opposed to a crash.
inline void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// Nothing when `decode` refuses the input; the one way to refuse is Error{kDamaged}.
template <class Decode>
auto decoded(Decode decode) -> std::optional<decltype(decode())> {
  try {
    return decode();
  } catch (const Error& error) {
    require(error.code() == ErrorCode::kDamaged);
    return std::nullopt;
  }
}

}  // namespace salvor::fuzz
