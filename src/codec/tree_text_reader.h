// Trees exactly as restic writes them, read without a general JSON parser. Private to the tree
// codec.
#pragma once

#include <string_view>

#include "model/node.h"

namespace salvor {

// False when the text is not in restic's own form: it may still be a tree, and `out` is then
// unspecified. Throws Error{kDamaged} for escapes that no reader can accept.
[[nodiscard]] bool read_restic_tree(std::string_view blob, Tree& out);

// How many nodes a tree may have: exact for small ones, by the density of the beginning for large
// ones. Too much costs address space only, too little moves nodes about while a vector grows.
[[nodiscard]] size_t estimate_nodes(std::string_view blob);

}  // namespace salvor
