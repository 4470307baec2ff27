// Public keys as a file for those who verify: PEM blocks, each with lines of text before it that
// say from when to when it signs. OpenSSL skips such lines.
//
//   Key-Id: 3f...
//   Valid-From: 2026-01-01T00:00:00Z
//   Valid-To: 2026-11-21T08:00:00Z          (left out of the one in use)
//   -----BEGIN PUBLIC KEY-----
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evidence/dsse.h"

namespace salvor {

inline constexpr size_t kTrustedKeysLimit = size_t{1} << 20;  // of the file

[[nodiscard]] std::string encode_trusted_keys(const std::vector<TrustedKey>& keys);
// At least one. A plain PEM file counts for all times. Throws Error{kUsage}.
[[nodiscard]] std::vector<TrustedKey> decode_trusted_keys(std::string_view text);

}  // namespace salvor
