// Holds a tree against the schema, and takes its values out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/leaf.h"
#include "config/schema.h"
#include "config/yaml_document.h"

namespace salvor::config {

// A mapping of the configuration with its values in canonical form. Refers to the schema.
struct Checked {
  const MappingSchema* schema = nullptr;
  std::string name;  // of a named one: "db" of `sources: {db: ...}`
  Place place;
  Settings leaves;
  std::map<std::string, std::vector<Checked>, std::less<>> children;

  // Null when it was not given.
  [[nodiscard]] const Checked* child(std::string_view key) const;
  [[nodiscard]] const std::vector<Checked>& all(std::string_view key) const;
  // Name of the variant that was chosen; empty: none.
  [[nodiscard]] std::string variant() const;
};

// One layer by itself: unknown keys, wrong types, impossible values. What is missing may stand in
// another layer.
void check_layer(const YamlNode& node, const Schema& schema, const LeafContext& context);
// The whole: what is missing. What `check_layer` has found is not said again.
[[nodiscard]] Checked check_whole(const YamlNode& node, const Schema& schema,
                                  const LeafContext& context);

}  // namespace salvor::config
