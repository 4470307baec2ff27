// What a call throws.
#pragma once

#include <functional>
#include <optional>

#include <gtest/gtest.h>

#include "base/error.h"

namespace salvor::test {

// Nothing when it throws no Error.
[[nodiscard]] inline std::optional<ErrorCode> code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

// The test has failed when it throws no Error.
[[nodiscard]] inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ErrorCode::kFailed, "no error"};
}

}  // namespace salvor::test
