// The kinds of stores that sources may be of.
#pragma once

#include "engine/store.h"

namespace salvor {

// In the order of the docs.
[[nodiscard]] const std::vector<StoreKind>& store_kinds();
// Null when there is none of that name.
[[nodiscard]] const StoreKind* find_store_kind(std::string_view name);

}  // namespace salvor
