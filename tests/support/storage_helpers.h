// Small things that every storage test needs.
#pragma once

#include <functional>
#include <optional>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "crypto/sha256.h"
#include "storage/storage.h"

namespace salvor::test {

[[nodiscard]] inline ObjectName named_by_hash(ObjectKind kind, ByteView content) {
  return {kind, to_hex(sha256(content))};
}

// `size` bytes that depend on `seed` and on their position.
[[nodiscard]] inline Buffer pattern(size_t size, uint64_t seed) {
  Buffer bytes(size);
  SeededRandom(seed).fill(bytes.bytes());
  return bytes;
}

[[nodiscard]] inline std::optional<ErrorCode> code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

// The Error that `action` throws; without one the test has failed.
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
