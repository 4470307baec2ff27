// What a mistyped word may have meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace salvor {

// The best candidates for what was typed (at most 3, best first): near in edit distance or
// beginning with it.
[[nodiscard]] std::vector<std::string> suggestions(std::string_view typed,
                                                   const std::vector<std::string>& candidates);

}  // namespace salvor
