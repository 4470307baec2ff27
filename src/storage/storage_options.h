// What a storage may need besides its location: options, the environment, HTTP settings.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "net/http_client.h"

namespace salvor {

struct RequestCounts;

// A value; what `environment` and `counts` refer to must outlive the storages opened with it.
struct StorageOptions {
  std::map<std::string, std::string> extended;  // -o: "s3.region" -> "eu-central-1"
  // A variable's value; nothing when it is unset or empty.
  std::function<std::optional<std::string>(const std::string& name)> environment =
      [](const std::string&) { return std::nullopt; };
  HttpClientOptions http;
  RequestCounts* counts = nullptr;  // where requests are counted (counting_storage.h)
};

// Reads the extended options of one kind of storage, and finds those that do not exist.
class ExtendedOptions {
 public:
  // `prefix`: "s3"
  ExtendedOptions(const StorageOptions& options, std::string prefix);

  [[nodiscard]] std::string text(const std::string& name, std::string otherwise = {});
  [[nodiscard]] bool flag(const std::string& name, bool otherwise = false);
  // Throws Error{kUsage} outside of `least` to `most`.
  [[nodiscard]] unsigned number(const std::string& name, unsigned otherwise, unsigned least,
                                unsigned most);
  // Throws Error{kUsage} unless the value is one of `allowed`; the first is the default.
  [[nodiscard]] std::string choice(const std::string& name,
                                   std::initializer_list<const char*> allowed);
  // Throws Error{kUsage} for options of the prefix that nothing asked for, naming those there are.
  void finish() const;

 private:
  [[nodiscard]] const std::string* find(const std::string& name);
  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const;

  const StorageOptions& options_;
  const std::string prefix_;
  std::set<std::string> known_;
};

}  // namespace salvor
