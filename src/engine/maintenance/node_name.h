// Names in trees that may come from anybody.
#pragma once

#include <string_view>

namespace salvor {

// Whether an entry of a directory can have this name. (No tree with an empty one is decoded.)
[[nodiscard]] inline bool is_possible_name(std::string_view name) {
  return name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

}  // namespace salvor
