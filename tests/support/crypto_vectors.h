// tests/data/crypto.json: what restic and published references say the bytes must be.
#pragma once

#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "support/test_data.h"

namespace salvor::testing {

inline nlohmann::json crypto_vectors(const char* name) {
  return nlohmann::json::parse(std::ifstream(test::test_data("crypto.json"))).at(name);
}

inline Buffer unhex(const nlohmann::json& value) {
  const auto text = value.get<std::string>();
  Buffer bytes(text.size() / 2);
  EXPECT_TRUE(from_hex(text, bytes.bytes()));
  return bytes;
}

}  // namespace salvor::testing
