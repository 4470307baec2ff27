// Writes times by Go's reference-time layouts ("2006-01-02T15:04:05Z07:00"), which restic's
// --time-template takes. The elements are those of Go's package "time",
// https://pkg.go.dev/time#Layout.
#pragma once

#include <string>
#include <string_view>

#include "model/timestamp.h"

namespace salvor {

// RFC 3339 without fractions; restic's default.
inline constexpr std::string_view kRfc3339Layout = "2006-01-02T15:04:05Z07:00";

// In the timestamp's own zone. "MST" becomes the local zone's abbreviation where the local zone has
// this offset at this instant, otherwise the offset ("+0530"), as Go does. What is no element
// stands for itself.
[[nodiscard]] std::string format_go_layout(const Timestamp& time, std::string_view layout);

}  // namespace salvor
