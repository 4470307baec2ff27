// What a value should be: "42" (the very text, or the same number), "!= 0", ">= 10", "< 1.5",
// "~ ^ok" (an extended regular expression that matches somewhere).
#pragma once

#include <string>

#include "model/run_record.h"

namespace salvor::plan {

// Throws Error{kUsage} for a comparison with what is no number, and a malformed expression.
[[nodiscard]] bool meets(const std::string& value, const std::string& expectation);
// The same as a check's result.
[[nodiscard]] CheckResult check_value(const std::string& name, const std::string& value,
                                      const std::string& expectation, double seconds);

}  // namespace salvor::plan
