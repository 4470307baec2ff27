// A tree as canonical YAML: block style, two spaces, keys in the tree's order. What is written
// reads back as the same tree.
#pragma once

#include <functional>
#include <string>

#include "config/yaml_document.h"

namespace salvor::config {

// What stands as a comment behind a value; empty: nothing.
using YamlComment = std::function<std::string(const Place&)>;

[[nodiscard]] std::string write_yaml(const YamlNode& node, const YamlComment& comment = {});
// A text as it must be written to be read as that text again.
[[nodiscard]] std::string yaml_text(std::string_view text, bool quoted = false);

}  // namespace salvor::config
