// HTML pages that need nothing but themselves: no script, no font, no picture from elsewhere, and a
// content security policy inside that allows nothing but their own style sheet (by its hash).
// Readable in print, in the dark and by screen readers.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace salvor {

// As the text of an element or attribute. Control characters, invalid UTF-8 and characters that
// change the direction of writing are shown as codes: what is signed must read as it is.
[[nodiscard]] std::string html_text(std::string_view raw);

// The whole document around `body`, which is HTML.
[[nodiscard]] std::string html_document(std::string_view title, std::string_view body);

// <table> with a caption for screen readers. Cells are HTML.
[[nodiscard]] std::string html_table(std::string_view caption,
                                     const std::vector<std::string>& headers,
                                     const std::vector<std::vector<std::string>>& rows);
// <dl>; both sides are plain texts.
[[nodiscard]] std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts);
// A cell that is short and must not be broken for the sake of what is long. `html`: as it stands.
[[nodiscard]] std::string html_unbroken(std::string_view html);
// A mark that does not live by its colour alone: "✓ passed".
[[nodiscard]] std::string html_mark(bool good, std::string_view text);

}  // namespace salvor
