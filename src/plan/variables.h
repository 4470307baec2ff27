// "${name}" in a step's settings: parameters, what the target offers, outputs of earlier steps.
// "$${" stands for "${" itself.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/settings.h"

namespace salvor::plan {

// Nothing when there is no value of that name.
using VariableLookup = std::function<std::optional<std::string>(std::string_view name)>;

// The names in `text`, in order, each as often as it stands there. Throws Error{kUsage} for a "${"
// without its "}".
[[nodiscard]] std::vector<std::string> variables_in(std::string_view text);
// The names in all values of `settings`.
[[nodiscard]] std::vector<std::string> variables_in(const Settings& settings);

// Throws Error{kUsage} for a name without a value. Values are not looked into again.
[[nodiscard]] std::string expand(std::string_view text, const VariableLookup& lookup);
[[nodiscard]] Settings expand(const Settings& settings, const VariableLookup& lookup);

// Looks up for a text in another language (a line for the shell, a statement), in which a value
// must not become syntax: throws Error{kUsage, ..., hint} for one that `plain` does not hold for.
// Refers to `lookup`. `language`: "the shell".
[[nodiscard]] VariableLookup plain_values(const VariableLookup& lookup,
                                          bool (*plain)(std::string_view),
                                          const std::string& language, const std::string& hint);
// Letters, digits and "_-./:@%+=,".
[[nodiscard]] bool is_plain_word(std::string_view value);
// The same without "--", which begins a comment; or a time (digits, blanks, "-:.+TZUC").
[[nodiscard]] bool is_plain_in_sql(std::string_view value);

// The same, but other names stay as they stand (with their "${}"): for what is put into another
// text before that is expanded.
[[nodiscard]] Settings substitute(const Settings& settings, const VariableLookup& lookup);
[[nodiscard]] std::string substitute(std::string_view text, const VariableLookup& lookup);

}  // namespace salvor::plan
