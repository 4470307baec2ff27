#include "plan/variables.h"

#include "base/error.h"
#include "base/format.h"

namespace salvor::plan {
namespace {

// Calls `literal` for the text between names (with "$${" undone only when `unescape`) and `name`
// for each name.
template <class Literal, class Name>
void scan(std::string_view text, bool unescape, const Literal& literal, const Name& name) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t dollar = text.find('$', at);
    if (dollar == std::string_view::npos) {
      break;
    }
    literal(text.substr(at, dollar - at));
    const std::string_view rest = text.substr(dollar);
    if (rest.starts_with("$${")) {
      literal(unescape ? "${" : "$${");
      at = dollar + 3;
    } else if (rest.starts_with("${")) {
      const size_t end = rest.find('}');
      if (end == std::string_view::npos || end == 2) {
        throw Error(ErrorCode::kUsage, "no variable's name in \"" + printable(text) + "\"",
                    "Write ${name}, or $${ for the two characters themselves.");
      }
      name(rest.substr(2, end - 2));
      at = dollar + end + 1;
    } else {
      literal("$");
      at = dollar + 1;
    }
  }
  literal(text.substr(at));
}

template <class Change>
Settings map_texts(const Settings& settings, const Change& change) {
  Settings result;
  for (const auto& [key, value] : settings.all()) {
    if (const auto* text = std::get_if<std::string>(&value)) {
      result.set(key, change(*text));
    } else if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      std::vector<std::string> texts;
      for (const std::string& one : *list) {
        texts.push_back(change(one));
      }
      result.set(key, std::move(texts));
    } else {
      TextMap map;
      for (const auto& [name, content] : std::get<TextMap>(value)) {
        map.emplace_back(name, change(content));
      }
      result.set(key, std::move(map));
    }
  }
  return result;
}

}  // namespace

std::vector<std::string> variables_in(std::string_view text) {
  std::vector<std::string> names;
  scan(
      text, true, [](std::string_view) {},
      [&](std::string_view name) { names.emplace_back(name); });
  return names;
}

std::vector<std::string> variables_in(const Settings& settings) {
  std::vector<std::string> names;
  static_cast<void>(map_texts(settings, [&](const std::string& text) {
    for (std::string& name : variables_in(text)) {
      names.push_back(std::move(name));
    }
    return text;
  }));
  return names;
}

std::string expand(std::string_view text, const VariableLookup& lookup) {
  std::string result;
  scan(
      text, true, [&](std::string_view part) { result += part; },
      [&](std::string_view name) {
        const auto value = lookup(name);
        if (!value) {
          throw Error(ErrorCode::kUsage, "there is no value for ${" + printable(name) + "}",
                      "It is the output of a step that was skipped or did not give it.");
        }
        result += *value;
      });
  return result;
}

Settings expand(const Settings& settings, const VariableLookup& lookup) {
  return map_texts(settings, [&](const std::string& text) { return expand(text, lookup); });
}

bool is_plain_word(std::string_view value) {
  return value.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "_-./:@%+=,") == std::string_view::npos;
}

bool is_plain_in_sql(std::string_view value) {
  const bool time = value.find_first_not_of("0123456789 -:.+TZUC") == std::string_view::npos;
  return (time || is_plain_word(value)) && value.find("--") == std::string_view::npos;
}

VariableLookup plain_values(const VariableLookup& lookup, bool (*plain)(std::string_view),
                            const std::string& language, const std::string& hint) {
  return [&lookup, plain, language, hint](std::string_view name) {
    auto value = lookup(name);
    if (value && !plain(*value)) {
      throw Error(ErrorCode::kUsage,
                  "the value of ${" + printable(name) + "} holds characters that " + language +
                      " would take apart",
                  hint);
    }
    return value;
  };
}

std::string substitute(std::string_view text, const VariableLookup& lookup) {
  std::string result;
  scan(
      text, false, [&](std::string_view part) { result += part; },
      [&](std::string_view name) {
        const auto value = lookup(name);
        result += value ? *value : "${" + std::string(name) + "}";
      });
  return result;
}

Settings substitute(const Settings& settings, const VariableLookup& lookup) {
  return map_texts(settings, [&](const std::string& text) { return substitute(text, lookup); });
}

}  // namespace salvor::plan
