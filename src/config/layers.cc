#include "config/layers.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "base/suggest.h"

namespace salvor::config {
namespace {

using Path = std::vector<std::string>;

constexpr std::string_view kPrefix = "SALVOR_";

std::string upper(std::string_view name) {
  std::string result(name);
  std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) {
    return std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
  });
  return result;
}

void wrap(YamlNode& value, const MappingSchema& mapping) {
  const bool wrappable = value.is_scalar() || value.is_list();
  if (value.is_null() && value.text.empty()) {
    value = YamlNode::map(value.place);
  } else if (wrappable && !mapping.shorthand.empty()) {
    YamlNode outer = YamlNode::map(value.place);
    const Place place = value.place;
    outer.put(mapping.shorthand, place, std::move(value));
    value = std::move(outer);
  }
  write_out(value, mapping);
}

void write_out_key(YamlNode& value, const KeySchema& key) {
  switch (key.shape) {
    case Shape::kLeaf:
      return;
    case Shape::kMapping:
      wrap(value, *key.mapping);
      return;
    case Shape::kNamed:
      if (value.is_null() && value.text.empty()) {
        value = YamlNode::map(value.place);
      }
      for (YamlEntry& entry : value.entries) {
        wrap(entry.value, *key.mapping);
      }
      return;
    case Shape::kList:
      if (value.is_scalar() && !key.mapping->shorthand.empty()) {
        YamlNode list;
        list.kind = YamlNode::Kind::kList;
        list.place = value.place;
        list.items.push_back(std::move(value));
        value = std::move(list);
      }
      for (YamlNode& item : value.items) {
        wrap(item, *key.mapping);
      }
      return;
  }
}

// The path that `rest` ("SOURCES_DB_SCHEDULE") means; nothing when there is none. Names must exist.
std::optional<Path> find_path(std::string_view rest, const YamlNode* node,
                              const MappingSchema& schema);

std::optional<Path> prefixed(const std::string& first, std::optional<Path> rest) {
  if (rest) {
    rest->insert(rest->begin(), first);
  }
  return rest;
}

std::optional<Path> find_name(std::string_view rest, const YamlNode* named,
                              const MappingSchema& schema) {
  if (named == nullptr || !named->is_map()) {
    return {};
  }
  for (const YamlEntry& entry : named->entries) {
    const std::string name = upper(entry.key);
    if (rest == name) {
      return Path{entry.key};
    }
    if (rest.starts_with(name + "_")) {
      if (auto found = find_path(rest.substr(name.size() + 1), &entry.value, schema)) {
        return prefixed(entry.key, found);
      }
    }
  }
  return {};
}

std::optional<Path> find_path(std::string_view rest, const YamlNode* node,
                              const MappingSchema& schema) {
  for (const KeySchema& key : schema.keys) {
    const std::string name = upper(key.field.name);
    if (rest == name) {
      return Path{key.field.name};
    }
    if (!rest.starts_with(name + "_") || key.field.name == "environments") {
      continue;
    }
    const std::string_view further = rest.substr(name.size() + 1);
    const YamlNode* value = node == nullptr ? nullptr : node->find(key.field.name);
    std::optional<Path> found;
    if (key.shape == Shape::kMapping && (!key.variant || value != nullptr)) {
      found = find_path(further, value, *key.mapping);
    } else if (key.shape == Shape::kNamed) {
      found = find_name(further, value, *key.mapping);
    } else if (key.field.type == FieldType::kTextMap || key.field.type == FieldType::kSecretMap) {
      for (const YamlEntry& entry : value == nullptr ? std::vector<YamlEntry>() : value->entries) {
        if (further == upper(entry.key)) {
          found = Path{entry.key};
        }
      }
    }
    if (found) {
      return prefixed(key.field.name, found);
    }
  }
  return {};
}

void put_path(YamlNode& tree, const Path& path, YamlNode value) {
  YamlNode* at = &tree;
  const Place place = value.place;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    YamlNode* next = at->find(path[i]);
    if (next == nullptr || !next->is_map()) {
      next = &at->put(path[i], place, YamlNode::map(place));
    }
    at = next;
  }
  at->put(path.back(), place, std::move(value));
}

// All names that a variable could have for what the tree holds.
void collect_names(const YamlNode* node, const MappingSchema& schema, const Path& path,
                   std::vector<std::string>& names) {
  static constexpr size_t kMost = 4000;
  for (const KeySchema& key : schema.keys) {
    if (key.field.name == "environments" || names.size() > kMost) {
      continue;
    }
    Path here = path;
    here.push_back(key.field.name);
    const YamlNode* value = node == nullptr ? nullptr : node->find(key.field.name);
    if (key.shape == Shape::kLeaf) {
      names.push_back(variable_name(here));
    } else if (key.shape == Shape::kMapping && (!key.variant || value != nullptr)) {
      if (!key.mapping->shorthand.empty()) {
        names.push_back(variable_name(here));
      }
      collect_names(value, *key.mapping, here, names);
    } else if (key.shape == Shape::kNamed && value != nullptr) {
      for (const YamlEntry& entry : value->entries) {
        Path inner = here;
        inner.push_back(entry.key);
        collect_names(&entry.value, *key.mapping, inner, names);
      }
    }
  }
}

void warn_about(const std::string& name, const std::vector<std::string>& names,
                const MappingSchema& root, SourceTexts& sources, Problems& problems) {
  const std::vector<std::string> near = suggestions(name, names);
  const std::string_view rest = std::string_view(name).substr(kPrefix.size());
  const bool below = std::any_of(root.keys.begin(), root.keys.end(), [&](const KeySchema& key) {
    return key.shape != Shape::kLeaf && key.field.name != "repository" &&
           rest.starts_with(upper(key.field.name) + "_");
  });
  if (near.empty() && !below) {
    return;
  }
  const uint32_t source = sources.add({.kind = SourceText::kVariable, .name = name, .text = {}});
  problems.warn({.source = source}, "this variable names nothing in the configuration",
                near.empty() ? "The name is SALVOR_ and the keys on the way, in capitals and "
                               "joined by \"_\"; what it names must exist."
                             : "Did you mean " + near.front() + "?");
}

// Throws away what the schema does not have, with a problem.
bool is_path(const Path& path, const Schema& schema, const Place& place, Problems& problems) {
  const MappingSchema* mapping = &schema.root();
  bool name_follows = false;
  for (size_t i = 0; i < path.size(); ++i) {
    if (name_follows) {
      name_follows = false;
      continue;
    }
    const KeySchema* key = mapping == nullptr ? nullptr : mapping->find(path[i]);
    if (key == nullptr || key->field.name == "environments") {
      problems.add(place, fmt::format("there is no key {}", shown(path[i])),
                   mapping == nullptr ? "" : did_you_mean(path[i], mapping->names()));
      return false;
    }
    const bool map =
        key->field.type == FieldType::kTextMap || key->field.type == FieldType::kSecretMap;
    if (key->shape == Shape::kLeaf) {
      mapping = nullptr;
      if (map && i + 2 == path.size()) {
        return true;
      }
    } else if (key->shape == Shape::kList && i + 1 < path.size()) {
      problems.add(place,
                   fmt::format("{} is a list, which is only set as a whole", shown(path[i])));
      return false;
    } else {
      mapping = key->mapping;
      name_follows = key->shape == Shape::kNamed;
    }
  }
  return true;
}

}  // namespace

void write_out(YamlNode& node, const MappingSchema& schema) {
  for (YamlEntry& entry : node.entries) {
    if (const KeySchema* key = schema.find(entry.key)) {
      write_out_key(entry.value, *key);
    }
  }
}

void merge(YamlNode& base, YamlNode over, const MappingSchema* schema) {
  if (!base.is_map() || !over.is_map()) {
    base = std::move(over);
    return;
  }
  if (schema != nullptr && schema->has_variants()) {
    const auto variant = [&](const YamlEntry& entry) {
      const KeySchema* key = schema->find(entry.key);
      return key != nullptr && key->variant;
    };
    const auto chosen = std::find_if(over.entries.begin(), over.entries.end(), variant);
    if (chosen != over.entries.end()) {
      std::erase_if(base.entries, [&](const YamlEntry& entry) {
        return variant(entry) && entry.key != chosen->key;
      });
    }
  }
  for (YamlEntry& entry : over.entries) {
    YamlNode* existing = base.find(entry.key);
    if (existing == nullptr) {
      base.entries.push_back(std::move(entry));
      continue;
    }
    const KeySchema* key = schema == nullptr ? nullptr : schema->find(entry.key);
    const MappingSchema* inner = key == nullptr ? nullptr : key->mapping;
    if (key != nullptr && key->shape == Shape::kNamed && existing->is_map() &&
        entry.value.is_map()) {
      for (YamlEntry& named : entry.value.entries) {
        if (YamlNode* same = existing->find(named.key)) {
          merge(*same, std::move(named.value), inner);
        } else {
          existing->entries.push_back(std::move(named));
        }
      }
    } else {
      merge(*existing, std::move(entry.value), inner);
    }
  }
}

std::string variable_name(const std::vector<std::string>& path) {
  std::string name(kPrefix);
  for (size_t i = 0; i < path.size(); ++i) {
    name += (i == 0 ? "" : "_") + upper(path[i]);
  }
  return name;
}

YamlNode variable_layer(const OverrideRequest& request, const YamlNode& tree, const Schema& schema,
                        SourceTexts& sources, Problems& problems) {
  YamlNode layer = YamlNode::map({});
  std::vector<std::string> names;
  for (const auto& [name, value] : request.variables) {
    const bool repository = name == "SALVOR_REPOSITORY";
    if (!name.starts_with(kPrefix) || value.empty() ||
        (request.not_ours.contains(name) && !repository)) {
      continue;
    }
    std::optional<Path> path =
        find_path(std::string_view(name).substr(kPrefix.size()), &tree, schema.root());
    const YamlNode* named = tree.find("repositories");
    if (repository && named != nullptr && named->find("main") != nullptr) {
      path = Path{"repositories", "main"};
    }
    if (names.empty()) {
      collect_names(&tree, schema.root(), {}, names);
    }
    if (!path) {
      warn_about(name, names, schema.root(), sources, problems);
      continue;
    }
    const Place place{.source =
                          sources.add({.kind = SourceText::kVariable, .name = name, .text = {}})};
    if (std::ranges::count(names, name) > 1) {
      problems.add(
          place, "this variable means more than one key",
          "Names that differ in case, \"-\" and \"_\" only have the same variables. Rename one "
          "of them, or set the key with --set.");
    }
    put_path(layer, *path, read_yaml_value(value, place, problems));
  }
  return layer;
}

YamlNode setting_layer(const OverrideRequest& request, const Schema& schema, SourceTexts& sources,
                       Problems& problems) {
  YamlNode layer = YamlNode::map({});
  for (const std::string& setting : request.settings) {
    const size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const Place place{
        .source = sources.add(
            {.kind = SourceText::kFlag, .name = "--set " + name.substr(0, 100), .text = {}})};
    if (equals == std::string::npos || equals == 0) {
      problems.add(place, "--set needs a path and a value",
                   "For example --set sources.db.schedule=hourly");
      continue;
    }
    Path path;
    for (size_t at = 0; at <= name.size();) {
      const size_t dot = std::min(name.find('.', at), name.size());
      path.push_back(name.substr(at, dot - at));
      at = dot + 1;
    }
    if (is_path(path, schema, place, problems)) {
      put_path(layer, path, read_yaml_value(setting.substr(equals + 1), place, problems));
    }
  }
  return layer;
}

}  // namespace salvor::config
