// A name made fit for file names, object names and identifiers.
#pragma once

#include <string>
#include <string_view>

namespace salvor {

// Letters and digits of ASCII, lower case, with one '-' for whatever stands between them; empty
// when there are none: the caller says what then, and how long it may be.
[[nodiscard]] std::string slug(std::string_view text);

}  // namespace salvor
