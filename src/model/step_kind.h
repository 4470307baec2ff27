// A kind of step that plans may hold ("restore", "sql", "http" ...), as a table: the configuration
// checks a step's entry against it without knowing what the step does.
#pragma once

#include <string>
#include <vector>

#include "model/settings.h"

namespace salvor {

// In salvor.yaml a step is a mapping with its kind as a key: `- sql: {query: "select 1"}`. A kind
// whose step is commonly said in one word has its main field first: `- restore: db` gives the first
// field of the table that text.
//
// Fields of these names refer to what the configuration defines, and are checked by it: `source`,
// `sources`, `plan`, `repository`, `sandbox`, `contact`, `contacts`, `by`, `channel`, `channels`.
// A map `target` beside a `source` has the keys of the target_fields of that source's kind.
struct StepKind {
  std::string name;
  std::string summary;
  std::vector<FieldSpec> fields;
};

}  // namespace salvor
