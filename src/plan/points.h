// Which snapshot brings a store to the moment that is asked for.
#pragma once

#include <string>
#include <vector>

#include "plan/step.h"

namespace salvor::plan {

// `ranges`: newest first, as Store::ranges gives them. Damaged ones are taken only when named.
// Throws Error{kNotFound} with what there is in the hint.
[[nodiscard]] PinnedPoint choose_point(const std::string& source, const std::string& asked,
                                       const std::vector<RecoveryRange>& ranges, WallTime now);

}  // namespace salvor::plan
