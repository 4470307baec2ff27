// Which errors say that stored data is lost or spoiled, rather than out of reach.
#pragma once

#include "base/error.h"

namespace salvor {

[[nodiscard]] inline bool is_damage(const Error& error) {
  return error.code() == ErrorCode::kDamaged || error.code() == ErrorCode::kNotFound;
}

}  // namespace salvor
