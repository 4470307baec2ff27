// The schema for others: as JSON Schema for editors, as Markdown for docs/configuration.md.
#pragma once

#include <string>

#include "config/schema.h"

namespace salvor::config {

// Draft 7, which the YAML plug-ins of editors know. Ends in a newline.
[[nodiscard]] std::string json_schema(const Schema& schema);
// One section a mapping with a table of its keys. Ends in a newline.
[[nodiscard]] std::string reference(const Schema& schema);

}  // namespace salvor::config
