// MD5, which storages check uploads with. Not for anything that must withstand an attacker.
#pragma once

#include <array>
#include <span>

#include "base/bytes.h"

namespace salvor {

// Of the concatenation of `parts`.
[[nodiscard]] std::array<std::byte, 16> md5(std::span<const ByteView> parts);

}  // namespace salvor
