#include "plan/failed_checks.h"

#include <fmt/format.h>

#include "base/format.h"

namespace salvor::plan {

std::string failed_checks(const std::vector<CheckResult>& checks) {
  std::string text;
  size_t failed = 0;
  for (const CheckResult& check : checks) {
    if (check.passed) {
      continue;
    }
    ++failed;
    if (text.empty()) {
      text = printable(check.name) + ": found " + printable(check.value) +
             (check.expected.empty() ? "" : ", expected " + printable(check.expected));
    }
  }
  if (failed == 0) {
    return {};
  }
  return failed == 1 && checks.size() == 1
             ? text
             : fmt::format("{} of {} checks failed: {}", failed, checks.size(), text);
}

}  // namespace salvor::plan
