// One value of a FieldSpec: from what was written to its canonical form, or a problem that says
// what to write instead. YAML's own traps are caught here.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "config/schema.h"
#include "config/yaml_document.h"
#include "model/settings.h"

namespace salvor::config {

// Reads a variable of the environment; nothing when unset or empty.
using VariableLookup = std::function<std::optional<std::string>(const std::string&)>;

struct LeafContext {
  SourceTexts& sources;
  Problems& problems;
  std::string folder;       // absolute, that relative paths begin at
  std::string home;         // of "~/"; may be empty
  std::string environment;  // for "${environment}"
  VariableLookup variable;  // for "${NAME}" in addresses
};

// What YAML 1.1 or 1.2 makes of a text without quotes.
enum class YamlReading : uint8_t {
  kText,
  kFlag,
  kNull,
  kInteger,
  kOctal,  // or hexadecimal, with "_" or "+": whatever makes it another text when written again
  kSexagesimal,
  kFloat,
};
[[nodiscard]] YamlReading yaml_reading(std::string_view text);

// Nothing when a problem was added. `where` follows the key's name in messages (`in source "db"`).
[[nodiscard]] std::optional<Settings::Value> read_leaf(const KeySchema& key, const YamlNode& node,
                                                       const std::string& where,
                                                       const LeafContext& context);

// False when a path begins with "~/" and there is no home: a problem was added.
[[nodiscard]] bool home_is_known(const YamlNode& node, std::string_view path,
                                 const std::string& name, const LeafContext& context);

// Replaces "${NAME}" and "${environment}". Nothing when a problem was added.
[[nodiscard]] std::optional<std::string> interpolate(const YamlNode& node,
                                                     const LeafContext& context);

// "90s", "15m", "2h", "7d", "1w", and several of them one after the other ("1h30m").
[[nodiscard]] std::optional<std::chrono::seconds> parse_period(std::string_view text);
// "22:00-06:00"
struct DayTimes {
  std::chrono::minutes from;
  std::chrono::minutes to;
};
[[nodiscard]] std::optional<DayTimes> parse_window(std::string_view text);
// As short as can be: "15m", "1h30m".
[[nodiscard]] std::string period_text(std::chrono::seconds period);

}  // namespace salvor::config
