#include "config/checker.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "config/usual_mistakes.h"

namespace salvor::config {
namespace {

constexpr size_t kLongestName = 64;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::isalpha(static_cast<unsigned char>(name[0])) != 0 &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
}

class Checker {
 public:
  Checker(const Schema& schema, const LeafContext& context, bool whole)
      : schema_(schema),
        context_(context),
        whole_(whole),
        silent_{context.sources,     nowhere_,        context.folder, context.home,
                context.environment, context.variable} {}

  Checked mapping(const YamlNode& node, const MappingSchema& mapping, const std::string& label,
                  const Place& place) {
    Checked result{.schema = &mapping, .name = {}, .place = place, .leaves = {}, .children = {}};
    if (!node.is_map()) {
      if (!node.is_null()) {
        layer_problem(node.place,
                      fmt::format("{} must be a mapping, but is {}",
                                  label.empty() ? "the configuration" : label,
                                  node.is_list() ? "a list" : "a text"),
                      not_a_mapping_hint(node, mapping, label));
        hide_scalar(node);
      }
      return result;
    }
    const std::string where = label.empty() ? "" : " in " + label;
    for (const YamlEntry& entry : node.entries) {
      const KeySchema* key = mapping.find(entry.key);
      if (key == nullptr) {
        unknown(entry, mapping, where);
        continue;
      }
      take(entry, *key, label, where, result);
    }
    if (whole_) {
      missing(node, mapping, where, result);
    }
    return result;
  }

 private:
  void take(const YamlEntry& entry, const KeySchema& key, const std::string& label,
            const std::string& where, Checked& result) {
    if (key.shape == Shape::kLeaf) {
      if (auto value = read_leaf(key, entry.value, where, whole_ ? silent_ : context_)) {
        result.leaves.set(key.field.name, std::move(*value));
      }
      return;
    }
    if (key.field.name == "environments" && key.mapping == &schema_.root()) {
      return;  // each is a layer of its own
    }
    const std::string inner = shown(key.field.name) + (label.empty() ? "" : " of " + label);
    std::vector<Checked>& children = result.children[key.field.name];
    if (key.shape == Shape::kMapping) {
      children.push_back(mapping(entry.value, *key.mapping, inner, entry.place));
    } else if (key.shape == Shape::kNamed) {
      named(entry.value, key, label, inner, children);
    } else {
      list(entry.value, key, inner, children);
    }
  }

  void named(const YamlNode& node, const KeySchema& key, const std::string& label,
             const std::string& inner, std::vector<Checked>& children) {
    if (!node.is_map()) {
      layer_problem(node.place,
                    fmt::format("{} must be a mapping of names, but is {}", inner,
                                node.is_list() ? "a list" : "a text"),
                    fmt::format("Each {} has a name: write \"NAME:\" below \"{}:\", and what it is "
                                "below that.",
                                key.mapping->title, key.field.name));
      return;
    }
    for (const YamlEntry& entry : node.entries) {
      check_name(entry, key.mapping->title);
      const std::string title = fmt::format("{} {}{}", key.mapping->title, shown(entry.key),
                                            label.empty() ? "" : " of " + label);
      children.push_back(mapping(entry.value, *key.mapping, title, entry.place));
      children.back().name = entry.key;
    }
  }

  void check_name(const YamlEntry& entry, const std::string& title) {
    const bool yaml = context_.sources.at(entry.place.source).kind == SourceText::kFile;
    if (yaml && !entry.quoted && yaml_reading(entry.key) != YamlReading::kText) {
      layer_problem(entry.place, fmt::format("the name {} is not a text to YAML", shown(entry.key)),
                    is_name(entry.key) ? fmt::format("Write it in quotes: \"{}\":", entry.key)
                                       : "Choose a name that begins with a letter.");
    } else if (!is_name(entry.key)) {
      layer_problem(entry.place,
                    fmt::format("{} cannot be the name of a {}", shown(entry.key), title),
                    "Names begin with a letter and hold letters, digits, \"-\" and \"_\", at most "
                    "64 of them.");
    }
  }

  void list(const YamlNode& node, const KeySchema& key, const std::string& inner,
            std::vector<Checked>& children) {
    if (!node.is_list()) {
      if (!node.is_null()) {
        layer_problem(node.place,
                      fmt::format("{} must be a list, but is {}", inner,
                                  node.is_map() ? "a mapping" : "a text"),
                      "Begin each item with \"- \".");
      }
      return;
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string title = fmt::format("{} {} of {}", key.mapping->title, i + 1, inner);
      children.push_back(mapping(node.items[i], *key.mapping, title, node.items[i].place));
    }
  }

  // A value that nobody knows the type of may be a secret: it is shown when it is plainly harmless.
  void hide_scalar(const YamlNode& node, std::string_view key = {}) {
    const std::string& text = node.text;
    const bool harmless = text.size() <= 5 || SecretReference::parse(text).has_value() ||
                          parse_period(text).has_value() || text.find(' ') != std::string::npos ||
                          text.starts_with('/');
    if (node.is_scalar() && (!harmless || names_secret(key) || key.starts_with("pas"))) {
      context_.sources.hide(node.place);
    }
  }

  void unknown(const YamlEntry& entry, const MappingSchema& mapping, const std::string& where) {
    Place place = entry.place;
    place.length = static_cast<uint32_t>(entry.key.size() + (entry.quoted ? 2 : 0));
    const bool plural = mapping.find(entry.key + "s") != nullptr;
    std::string hint = plural ? "" : known_elsewhere(entry.key);
    const bool elsewhere = !hint.empty();
    if (!elsewhere) {
      hint = did_you_mean(entry.key, mapping.names());
    }
    if (mapping.id == "root" && hint.empty() && entry.value.is_map()) {
      for (const YamlEntry& inner : entry.value.entries) {
        for (const MappingSchema& other : schema_.mappings()) {
          const KeySchema* kind = other.id == "source" ? other.find(inner.key) : nullptr;
          if (kind != nullptr && kind->variant) {
            hint = "Is it a source? Indent it below \"sources:\".";
          }
        }
      }
    }
    if (!elsewhere && !hint.starts_with("Did") && !hint.starts_with("Is it")) {
      for (const MappingSchema& other : schema_.mappings()) {
        if (&other != &mapping && other.find(entry.key) != nullptr) {
          hint = other.id == "root"
                     ? fmt::format("{} is a key of the top: do not indent it.", shown(entry.key))
                     : fmt::format("{} is a key of {}.", shown(entry.key), other.title);
          break;
        }
      }
    }
    hide_scalar(entry.value, entry.key);
    layer_problem(place, fmt::format("unknown key {}{}", shown(entry.key), where), hint);
  }

  // "postgres: env:DATABASE_URL" below "sources:", "retention: 30d".
  static std::string not_a_mapping_hint(const YamlNode& node, const MappingSchema& mapping,
                                        const std::string& label) {
    for (const KeySchema& key : mapping.keys) {
      const std::string& kind = key.field.name;
      if (key.variant && node.is_scalar() && label == mapping.title + " " + shown(kind)) {
        return fmt::format("Give it a name of its own, and {} below that: my-{}: {{{}: ...}}",
                           shown(kind), kind, kind);
      }
    }
    if (mapping.has_variants()) {
      return variants_hint(mapping);
    }
    const std::string keys = "Possible keys are " + enumerate(mapping.names()) + ".";
    const bool period = node.is_scalar() && parse_period(node.text).has_value();
    return mapping.id == "retention" && period
               ? fmt::format("Did you mean {{within: {}}}? {}", node.text, keys)
               : keys;
  }

  static std::string variants_hint(const MappingSchema& mapping) {
    std::vector<std::string> names;
    for (const KeySchema& key : mapping.keys) {
      if (key.variant) {
        names.push_back(key.field.name);
      }
    }
    return "Say what it is with one of the keys " + enumerate(names, "or") + ".";
  }

  void missing(const YamlNode& node, const MappingSchema& mapping, const std::string& where,
               const Checked& result) {
    const Place place = result.place.line == 0 && node.place.line != 0 ? node.place : result.place;
    for (const KeySchema& key : mapping.keys) {
      if (key.field.required && node.find(key.field.name) == nullptr) {
        context_.problems.add(place, fmt::format("{} is missing{}", shown(key.field.name), where),
                              fmt::format("It is {}.{}", key.field.help,
                                          key.field.example.empty()
                                              ? ""
                                              : fmt::format(" For example: {}: {}", key.field.name,
                                                            key.field.example)));
      }
    }
    if (!mapping.has_variants()) {
      return;
    }
    std::vector<const YamlEntry*> given;
    for (const YamlEntry& entry : node.entries) {
      const KeySchema* key = mapping.find(entry.key);
      if (key != nullptr && key->variant) {
        given.push_back(&entry);
      }
    }
    // Asking somebody is a step by itself, and something that any other step may do first.
    if (given.size() > 1) {
      std::erase_if(given, [](const YamlEntry* entry) { return entry->key == "approve"; });
    }
    const bool unknown =
        std::any_of(node.entries.begin(), node.entries.end(),
                    [&](const YamlEntry& entry) { return mapping.find(entry.key) == nullptr; });
    if (given.empty() && unknown) {
      return;  // it was said, under a name that is reported
    }
    if (given.empty()) {
      context_.problems.add(place, fmt::format("nothing says what this is{}", where),
                            variants_hint(mapping));
    } else if (given.size() > 1) {
      context_.problems.add(given[1]->place,
                            fmt::format("{} and {} cannot both be given{}", shown(given[0]->key),
                                        shown(given[1]->key), where),
                            "Make two of them, or remove one.");
    }
  }

  void layer_problem(const Place& place, std::string what, std::string hint) {
    if (!whole_) {
      context_.problems.add(place, std::move(what), std::move(hint));
    }
  }

  const Schema& schema_;
  const LeafContext& context_;
  bool whole_;
  Problems nowhere_;
  LeafContext silent_;
};

}  // namespace

const Checked* Checked::child(std::string_view key) const {
  const std::vector<Checked>& found = all(key);
  return found.empty() ? nullptr : found.data();
}

const std::vector<Checked>& Checked::all(std::string_view key) const {
  static const std::vector<Checked> kNone;
  const auto found = children.find(key);
  return found == children.end() ? kNone : found->second;
}

std::string Checked::variant() const {
  std::string result;
  for (const KeySchema& key : schema->keys) {
    if (key.variant && children.contains(key.field.name) &&
        (result.empty() || result == "approve")) {
      result = key.field.name;
    }
  }
  return result;
}

void check_layer(const YamlNode& node, const Schema& schema, const LeafContext& context) {
  Checker checker(schema, context, false);
  (void)checker.mapping(node, schema.root(), "", node.place);
}

Checked check_whole(const YamlNode& node, const Schema& schema, const LeafContext& context) {
  Checker checker(schema, context, true);
  return checker.mapping(node, schema.root(), "", node.place);
}

}  // namespace salvor::config
