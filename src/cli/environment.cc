#include "cli/environment.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace salvor::cli {

namespace {

constexpr std::array<std::string_view, 6> kSecretNames{
    "SALVOR_PASSWORD",      "RESTIC_PASSWORD",        "SALVOR_FROM_PASSWORD",
    "RESTIC_FROM_PASSWORD", "SALVOR_EXPORT_PASSWORD", "RESTIC_EXPORT_PASSWORD"};

bool is_secret(std::string_view name) {
  for (const std::string_view secret : kSecretNames) {
    if (name == secret) {
      return true;
    }
  }
  return false;
}

}  // namespace

Environment::Environment(Variables variables) : variables_(std::move(variables)) {
  for (const std::string_view name : kSecretNames) {
    if (const auto found = variables_.find(name); found != variables_.end()) {
      secrets_.emplace(name, Secret(std::move(found->second)));
      variables_.erase(found);
    }
  }
}

Environment Environment::take_from_process() {
  Environment result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    char* equals = std::strchr(*entry, '=');
    if (equals == nullptr) {
      continue;
    }
    const std::string name(*entry, equals);
    if (is_secret(name)) {
      result.secrets_.emplace(name, Secret(equals + 1));
      wipe(equals + 1, std::strlen(equals + 1));
    } else {
      result.variables_.emplace(name, equals + 1);
    }
  }
  for (const auto& [name, secret] : result.secrets_) {
    ::unsetenv(name.c_str());
  }
  return result;
}

Environment Environment::with(Variables more) const {
  Environment added(std::move(more));
  Environment result = *this;
  for (auto& [name, value] : added.variables_) {
    result.variables_[name] = std::move(value);
  }
  for (auto& [name, secret] : added.secrets_) {
    result.secrets_[name] = std::move(secret);
  }
  return result;
}

std::optional<std::string> Environment::get(const std::string& name) const {
  const auto found = variables_.find(name);
  if (found == variables_.end() || found->second.empty()) {
    return std::nullopt;
  }
  return found->second;
}

std::optional<std::string> Environment::get_either(const std::string& suffix) const {
  auto value = get("SALVOR_" + suffix);
  return value ? value : get("RESTIC_" + suffix);
}

std::optional<Secret> Environment::password(const std::string& suffix) const {
  for (const char* prefix : {"SALVOR_", "RESTIC_"}) {
    const auto found = secrets_.find(prefix + suffix);
    if (found != secrets_.end() && !found->second.empty()) {
      return found->second;
    }
  }
  return std::nullopt;
}

std::optional<Secret> Environment::secret(const std::string& name) const {
  const auto found = secrets_.find(name);
  return found == secrets_.end() || found->second.empty() ? std::nullopt
                                                          : std::optional(found->second);
}

std::vector<std::string> Environment::secret_names() const {
  std::vector<std::string> names;
  for (const auto& [name, secret] : secrets_) {
    if (!secret.empty()) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace salvor::cli
