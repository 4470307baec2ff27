// Variables in SQL: a value must not become a part of the statement.
#pragma once

#include "plan/step.h"

namespace salvor::plan {

// Throws Error{kUsage} for a value that is neither a plain word nor a time. Refers to the scene.
[[nodiscard]] inline VariableLookup sql_values(const StepScene& scene) {
  return plain_values(scene.lookup, is_plain_in_sql, "the server",
                      "Write $1 in the query and the variable under `values`.");
}

}  // namespace salvor::plan
