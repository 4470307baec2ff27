// Commands as people write them in options.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace salvor {

// Splits as a shell does (quotes, backslashes), without expanding anything. Throws Error{kUsage}
// for an unfinished quote or an empty command.
[[nodiscard]] std::vector<std::string> split_command(std::string_view command);

}  // namespace salvor
