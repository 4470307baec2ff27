// How several things that say something become one tree: the file, the file of the environment,
// what stands below `environments:`, the SALVOR_ variables, --set. Mappings are merged, everything
// else is replaced.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/schema.h"
#include "config/yaml_document.h"

namespace salvor::config {

// Writes the short forms out: a text in the place of a mapping becomes the mapping's main key, so
// that layers can be merged whichever form they use.
void write_out(YamlNode& node, const MappingSchema& schema);

// What `over` says wins. A source of another kind replaces the kind.
void merge(YamlNode& base, YamlNode over, const MappingSchema* schema);

// "sources.db.schedule" -> SALVOR_SOURCES_DB_SCHEDULE.
[[nodiscard]] std::string variable_name(const std::vector<std::string>& path);

using Variables = std::map<std::string, std::string, std::less<>>;

struct OverrideRequest {
  const Variables& variables;                // of the whole environment
  const std::set<std::string>& not_ours;     // SALVOR_ variables that mean something else
  const std::vector<std::string>& settings;  // "path=value" of --set
};

// A layer of what the variables say about `tree`, and one of what --set says. Variables that look
// like one of these and are none are warned about; a --set that cannot be is a problem.
[[nodiscard]] YamlNode variable_layer(const OverrideRequest& request, const YamlNode& tree,
                                      const Schema& schema, SourceTexts& sources,
                                      Problems& problems);
[[nodiscard]] YamlNode setting_layer(const OverrideRequest& request, const Schema& schema,
                                     SourceTexts& sources, Problems& problems);

}  // namespace salvor::config
