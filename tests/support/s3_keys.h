// Credentials for S3 where nobody checks them.
#pragma once

#include <optional>
#include <string>

#include "storage/storage_options.h"

namespace salvor::test {

[[nodiscard]] inline StorageOptions with_some_keys() {
  StorageOptions options;
  options.http.proxy = "";
  options.environment = [](const std::string& name) -> std::optional<std::string> {
    return name.starts_with("AWS_ACCESS") || name.starts_with("AWS_SECRET")
               ? std::optional<std::string>("something")
               : std::nullopt;
  };
  return options;
}

}  // namespace salvor::test
