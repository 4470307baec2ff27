#include "plan/expectation.h"

#include <array>
#include <cstdlib>
#include <optional>
#include <regex>

#include "base/error.h"
#include "base/format.h"
#include "model/text_file.h"

namespace salvor::plan {
namespace {

std::optional<long double> number(const std::string& text) {
  if (text.empty()) {
    return {};
  }
  char* end = nullptr;
  const long double value = std::strtold(text.c_str(), &end);
  return *end == '\0' ? std::optional(value) : std::nullopt;
}

bool compare(long double value, const std::string& sign, long double limit) {
  if (sign == ">=") {
    return value >= limit;
  }
  if (sign == "<=") {
    return value <= limit;
  }
  return sign == ">" ? value > limit : value < limit;
}

bool same(const std::string& value, const std::string& expected) {
  if (value == expected) {
    return true;
  }
  const auto a = number(value);
  const auto b = number(expected);
  return a && b && *a == *b;
}

}  // namespace

bool meets(const std::string& value, const std::string& expectation) {
  const std::string wanted(trim_space(expectation));
  const std::string found(trim_space(value));
  for (const std::string sign : {">=", "<=", "!=", ">", "<", "~", "="}) {
    if (!wanted.starts_with(sign)) {
      continue;
    }
    const std::string limit(trim_space(std::string_view(wanted).substr(sign.size())));
    if (sign == "!=") {
      return !same(found, limit);
    }
    if (sign == "=") {
      return same(found, limit);
    }
    if (sign == "~") {
      try {
        return std::regex_search(value, std::regex(limit, std::regex::extended));
      } catch (const std::regex_error&) {
        throw Error(ErrorCode::kUsage, "\"" + printable(limit) + "\" is no regular expression");
      }
    }
    const auto bound = number(limit);
    if (!bound) {
      throw Error(ErrorCode::kUsage, "\"" + printable(limit) + "\" is no number to compare with");
    }
    const auto actual = number(found);
    return actual && compare(*actual, sign, *bound);
  }
  return same(found, wanted);
}

CheckResult check_value(const std::string& name, const std::string& value,
                        const std::string& expectation, double seconds) {
  constexpr size_t kShown = 500;
  return {.name = name,
          .passed = meets(value, expectation),
          .value = value.size() > kShown ? value.substr(0, kShown) + "..." : value,
          .expected = expectation,
          .seconds = seconds};
}

}  // namespace salvor::plan
