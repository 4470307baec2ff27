// What evidence says: an in-toto Statement v1 (https://in-toto.io/Statement/v1) about the recovery
// points that a drill used, with a predicate of our own, kDrillPredicate (docs/evidence.md).
#pragma once

#include <string>
#include <string_view>

#include "model/drill_report.h"

namespace salvor {

inline constexpr std::string_view kStatementPayload = "application/vnd.in-toto+json";
inline constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
// Do not change: it is in signed texts. A field that changes its meaning needs a new version.
inline constexpr std::string_view kDrillPredicate = "urn:salvor:evidence:drill:v1";

// It succeeded, every check passed and what was promised was kept.
[[nodiscard]] bool drill_passed(const DrillReport& report);

// The same text for the same report.
[[nodiscard]] std::string encode_statement(const DrillReport& report);
// Strict (json.h). Fields that are not known are ignored, as in-toto demands; another predicate is
// refused. Throws Error{kDamaged} with the reason.
[[nodiscard]] DrillReport decode_statement(std::string_view text);

}  // namespace salvor
