// Accidents that many people have with such files, told apart from what the reader stumbles over:
// what went wrong is often some lines above, or a word that another program uses.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/problem.h"

namespace salvor::config {

// What is behind a text that is no YAML, at or before `at`: a merge conflict, a space that is
// missing after a colon, another file format. Nothing when none of these is seen.
[[nodiscard]] std::optional<Problem> usual_syntax_mistake(std::string_view text, const Place& at);

// Where a space that is none stands in front of a line's first word: copied from a web page.
[[nodiscard]] std::optional<Place> odd_space(std::string_view text, uint32_t source);
// Whether a text without quotes begins with quotes that YAML does not know as such.
[[nodiscard]] bool has_typographic_quotes(std::string_view text);

// What a key that is unknown here is called, or why there is none. Empty: no idea.
[[nodiscard]] std::string known_elsewhere(std::string_view key);

// "15 minutes" -> "15m", "1.5h" -> "1h30m", "15M" -> "15m"; empty: no idea.
[[nodiscard]] std::string duration_meant(std::string_view text);
// "10MB/s" -> "10M", "50 Mbit" -> "6250k"; empty: no idea.
[[nodiscard]] std::string size_meant(std::string_view text);
// What to write for a schedule that cannot be understood, a sentence; empty: no idea.
[[nodiscard]] std::string schedule_meant(std::string_view text);
// The zone that "Europe/Berln", "berlin" may mean; empty: no idea.
[[nodiscard]] std::string zone_meant(std::string_view text);
// "$NAME", "${NAME}", "ENV:NAME", "env: NAME" -> "env:NAME"; empty: no idea.
[[nodiscard]] std::string reference_meant(std::string_view text);

}  // namespace salvor::config
