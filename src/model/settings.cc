#include "model/settings.h"

#include <array>

namespace salvor {
namespace {

template <class Kind>
const Kind* find(const std::map<std::string, Settings::Value, std::less<>>& values,
                 std::string_view name) {
  const auto it = values.find(name);
  return it == values.end() ? nullptr : &std::get<Kind>(it->second);
}

constexpr std::array<std::pair<std::string_view, SecretReference::Kind>, 4> kForms{
    {{"env:", SecretReference::kEnvironment},
     {"file:", SecretReference::kFile},
     {"cmd:", SecretReference::kCommand},
     {"credential:", SecretReference::kCredential}}};

}  // namespace

std::string Settings::text(std::string_view name, std::string_view otherwise) const {
  const auto* value = find<std::string>(values_, name);
  return value == nullptr ? std::string(otherwise) : *value;
}

bool Settings::flag(std::string_view name, bool otherwise) const {
  const auto* value = find<std::string>(values_, name);
  return value == nullptr ? otherwise : *value == "true";
}

uint64_t Settings::number(std::string_view name, uint64_t otherwise) const {
  const auto* value = find<std::string>(values_, name);
  return value == nullptr ? otherwise : std::stoull(*value);
}

std::chrono::seconds Settings::duration(std::string_view name,
                                        std::chrono::seconds otherwise) const {
  const auto* value = find<std::string>(values_, name);
  return value == nullptr ? otherwise : std::chrono::seconds(std::stoll(*value));
}

std::vector<std::string> Settings::list(std::string_view name) const {
  const auto* value = find<std::vector<std::string>>(values_, name);
  return value == nullptr ? std::vector<std::string>{} : *value;
}

TextMap Settings::map(std::string_view name) const {
  const auto* value = find<TextMap>(values_, name);
  return value == nullptr ? TextMap{} : *value;
}

std::optional<SecretReference> SecretReference::parse(std::string_view text) {
  for (const auto& [prefix, kind] : kForms) {
    if (text.starts_with(prefix) && text.size() > prefix.size()) {
      return SecretReference{.kind = kind, .name = std::string(text.substr(prefix.size()))};
    }
  }
  return {};
}

std::string SecretReference::text() const {
  for (const auto& [prefix, form] : kForms) {
    if (form == kind) {
      return std::string(prefix) + name;
    }
  }
  return name;
}

}  // namespace salvor
