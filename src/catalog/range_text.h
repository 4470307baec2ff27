// Recovery ranges as the JSON that the catalog keeps. Private to the catalog: not a format that
// others may rely on.
#pragma once

#include <string>
#include <vector>

#include "engine/store.h"

namespace salvor {

[[nodiscard]] std::string encode_ranges(const std::vector<RecoveryRange>& ranges);
// Throws Error{kDamaged}.
[[nodiscard]] std::vector<RecoveryRange> decode_ranges(const std::string& text);

}  // namespace salvor
