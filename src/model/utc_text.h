// Times as documents and messages show them that must read the same everywhere:
// always UTC.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace salvor {

[[nodiscard]] std::string utc_text(WallTime time);     // "2026-11-21 08:00:05 UTC"
[[nodiscard]] std::string utc_date(WallTime time);     // "2026-11-21"
[[nodiscard]] std::string utc_clock(WallTime time);    // "08:00:05"
[[nodiscard]] std::string rfc3339_utc(WallTime time);  // "2026-11-21T08:00:05Z"
[[nodiscard]] std::string compact_utc(WallTime time);  // "20261121T080005Z"; in object names
[[nodiscard]] std::optional<WallTime> parse_compact_utc(std::string_view text);
[[nodiscard]] int utc_year(WallTime time);
[[nodiscard]] unsigned utc_month(WallTime time);  // 1 to 12

}  // namespace salvor
