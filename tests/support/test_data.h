// Where tests/data is: known to one object file, so that a compiler cache can serve all others to
// clones elsewhere.
#pragma once

#include <string>
#include <string_view>

namespace salvor::test {

// The path of a file in tests/data: test_data("trees.json").
[[nodiscard]] std::string test_data(std::string_view name);

}  // namespace salvor::test
