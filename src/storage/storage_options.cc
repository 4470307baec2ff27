#include "storage/storage_options.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/format.h"

namespace salvor {

ExtendedOptions::ExtendedOptions(const StorageOptions& options, std::string prefix)
    : options_(options), prefix_(std::move(prefix)) {}

const std::string* ExtendedOptions::find(const std::string& name) {
  const std::string key = prefix_ + "." + name;
  known_.insert(key);
  const auto found = options_.extended.find(key);
  return found == options_.extended.end() ? nullptr : &found->second;
}

void ExtendedOptions::refuse(const std::string& name, const std::string& expected) const {
  const std::string key = prefix_ + "." + name;
  throw Error(ErrorCode::kUsage, "the extended option " + key + "=" +
                                     printable(options_.extended.at(key)) + " must be " + expected);
}

std::string ExtendedOptions::text(const std::string& name, std::string otherwise) {
  const std::string* value = find(name);
  return value == nullptr ? std::move(otherwise) : *value;
}

bool ExtendedOptions::flag(const std::string& name, bool otherwise) {
  const std::string* value = find(name);
  if (value == nullptr) {
    return otherwise;
  }
  if (*value == "true" || *value == "1" || *value == "yes") {
    return true;
  }
  if (*value == "false" || *value == "0" || *value == "no") {
    return false;
  }
  refuse(name, "true or false");
}

unsigned ExtendedOptions::number(const std::string& name, unsigned otherwise, unsigned least,
                                 unsigned most) {
  const std::string* value = find(name);
  if (value == nullptr) {
    return otherwise;
  }
  unsigned result = 0;
  const char* end = value->data() + value->size();
  const auto parsed = std::from_chars(value->data(), end, result);
  if (parsed.ec != std::errc() || parsed.ptr != end || result < least || result > most) {
    refuse(name, "a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return result;
}

std::string ExtendedOptions::choice(const std::string& name,
                                    std::initializer_list<const char*> allowed) {
  const std::string* value = find(name);
  if (value == nullptr) {
    return *allowed.begin();
  }
  std::string names;
  for (const char* one : allowed) {
    if (*value == one) {
      return one;
    }
    names += (names.empty() ? "" : ", ") + std::string(one);
  }
  refuse(name, "one of " + names);
}

void ExtendedOptions::finish() const {
  for (const auto& [key, value] : options_.extended) {
    if (key.starts_with(prefix_ + ".") && !known_.contains(key)) {
      std::string names;
      for (const std::string& known : known_) {
        names += (names.empty() ? "" : ", ") + known;
      }
      throw Error(ErrorCode::kUsage, "there is no extended option " + printable(key),
                  "There are: " + names + ".");
    }
  }
}

}  // namespace salvor
