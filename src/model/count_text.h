// "1 file", "3 files": numbers of things in sentences.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace salvor {

// `one` is the word for one of them, whose plural ends in "s".
[[nodiscard]] inline std::string counted(uint64_t count, std::string_view one) {
  return std::to_string(count) + " " + std::string(one) + (count == 1 ? "" : "s");
}

}  // namespace salvor
