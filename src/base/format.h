// Numbers as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace salvor {

// "1.234 GiB", "512 B": three decimals and binary units, as restic prints.
[[nodiscard]] std::string format_bytes(uint64_t bytes);
// "1:02:03" or "2:03", as restic prints; below a minute "0:07".
[[nodiscard]] std::string format_duration(std::chrono::nanoseconds duration);
// A size with an optional binary suffix: "100", "64k", "16M", "1.5G", "2T", case-insensitive, with
// or without "iB"/"B". Nothing when it is not one or overflows.
[[nodiscard]] std::optional<uint64_t> parse_bytes(std::string_view text);
// Bytes that a terminal could act on (control characters, invalid UTF-8) are shown as \xHH.
[[nodiscard]] std::string printable(std::string_view raw);

}  // namespace salvor
