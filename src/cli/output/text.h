// Text on a terminal: how wide it is, how it is broken into lines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace salvor::cli {

// Columns that `text` takes: wide East Asian characters and emoji two, combining marks none. Bytes
// that are not UTF-8 count one each. `text` must be printable (base/format.h).
[[nodiscard]] size_t display_width(std::string_view text);
// As much of the front of `text` as fits into `columns`, ending in "…" when something was cut off.
[[nodiscard]] std::string truncate_to_width(std::string_view text, size_t columns);
// The same, keeping the end: for paths.
[[nodiscard]] std::string truncate_front_to_width(std::string_view text, size_t columns);
// Breaks at spaces into lines of at most `columns`; a longer word gets a line of its own.
[[nodiscard]] std::vector<std::string> wrap(std::string_view text, size_t columns);
// Paragraphs apart by empty lines are re-flowed; lines that begin with a space are kept as they
// are.
[[nodiscard]] std::string wrap_paragraphs(std::string_view text, size_t columns);
// "a, b" and "c" -> a, b, c, as restic reads lists of tags; empty parts are left out.
[[nodiscard]] std::vector<std::string> split_list(const std::vector<std::string>& lists);

}  // namespace salvor::cli
