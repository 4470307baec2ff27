#include "config/schema_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace salvor::config {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kNamePattern = "^[A-Za-z][A-Za-z0-9_-]{0,63}$";

Json text_schema() {
  return {{"type", Json::array({"string", "integer"})}};
}

Json leaf_schema(const KeySchema& key) {
  const FieldSpec& field = key.field;
  Json schema;
  switch (field.type) {
    case FieldType::kText:
    case FieldType::kMoment:
    case FieldType::kPath:
    case FieldType::kUrl:
      schema = text_schema();
      break;
    case FieldType::kFlag:
      schema = {{"type", "boolean"}};
      break;
    case FieldType::kNumber:
      schema = {{"type", "integer"}, {"minimum", 0}};
      break;
    case FieldType::kDuration:
      schema = {{"type", Json::array({"string", "integer"})},
                {"pattern", "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$|^0$"}};
      break;
    case FieldType::kSize:
      schema = {{"type", Json::array({"string", "integer"})},
                {"pattern", "^[0-9.]+ ?[kKmMgGtT]?([iI]?[bB])?$"}};
      break;
    case FieldType::kSchedule:
      schema = {{"type", "string"}};
      break;
    case FieldType::kSecret:
      schema = {{"type", "string"},
                {"pattern", key.in_plan ? "^(env|file|cmd|credential):.|^\\$\\{[^}]+\\}$"
                                        : "^(env|file|cmd|credential):."}};
      break;
    case FieldType::kTextList:
    case FieldType::kPathList:
      schema = {
          {"anyOf", Json::array({text_schema(), {{"type", "array"}, {"items", text_schema()}}})}};
      break;
    case FieldType::kTextMap:
    case FieldType::kSecretMap:
      schema = {
          {"type", "object"},
          {"additionalProperties", {{"type", Json::array({"string", "integer", "boolean"})}}}};
      break;
  }
  if (!field.choices.empty()) {
    schema = {{"enum", field.choices}};
  }
  return schema;
}

Json reference_to(const MappingSchema& mapping) {
  return {{"$ref", "#/definitions/" + mapping.id}};
}

// The mapping, or what stands for it in its short form.
Json item_schema(const MappingSchema& mapping) {
  Json forms = Json::array({reference_to(mapping)});
  if (const KeySchema* main =
          mapping.shorthand.empty() ? nullptr : mapping.find(mapping.shorthand)) {
    if (main->shape == Shape::kLeaf) {
      forms.push_back(leaf_schema(*main));
    } else {
      forms.push_back({{"type", "array"}, {"items", item_schema(*main->mapping)}});
    }
  }
  const bool all_optional = std::none_of(mapping.keys.begin(), mapping.keys.end(),
                                         [](const KeySchema& key) { return key.field.required; });
  if (all_optional && !mapping.has_variants()) {
    forms.push_back({{"type", "null"}});
  }
  return forms.size() == 1 ? forms[0] : Json{{"anyOf", forms}};
}

Json key_schema(const KeySchema& key) {
  Json schema;
  switch (key.shape) {
    case Shape::kLeaf:
      schema = leaf_schema(key);
      break;
    case Shape::kMapping:
      schema = item_schema(*key.mapping);
      break;
    case Shape::kNamed:
      schema = {{"type", "object"},
                {"propertyNames", {{"pattern", kNamePattern}}},
                {"additionalProperties", item_schema(*key.mapping)}};
      break;
    case Shape::kList: {
      const Json list{{"type", "array"}, {"items", item_schema(*key.mapping)}};
      schema = list;
      if (!key.mapping->shorthand.empty()) {
        schema = {{"anyOf", Json::array({list, {{"type", "string"}}})}};
      }
      break;
    }
  }
  Json described{{"description", key.field.help}};
  if (schema.contains("$ref")) {  // draft 7 ignores what stands beside a reference
    described["allOf"] = Json::array({schema});
  } else {
    described.update(schema);
  }
  if (!key.field.default_text.empty()) {
    described["description"] = key.field.help + " (default: " + key.field.default_text + ")";
  }
  if (!key.field.example.empty()) {
    described["examples"] = Json::array({key.field.example});
  }
  return described;
}

Json mapping_schema(const MappingSchema& mapping, bool layer) {
  Json schema{{"type", "object"}, {"description", mapping.summary}};
  Json properties = Json::object();
  Json required = Json::array();
  Json variants = Json::array();
  for (const KeySchema& key : mapping.keys) {
    properties[key.field.name] = key_schema(key);
    if (key.field.required && !layer) {
      required.push_back(key.field.name);
    }
    if (key.variant && key.field.name != "approve") {
      variants.push_back({{"required", Json::array({key.field.name})}});
    }
  }
  schema["properties"] = properties;
  schema["additionalProperties"] = false;
  if (mapping.id == "root") {
    schema["patternProperties"] = {{"^x-", Json::object()}};
  }
  if (!required.empty()) {
    schema["required"] = required;
  }
  if (!variants.empty()) {
    if (const KeySchema* approve = mapping.find("approve");
        approve != nullptr && approve->variant) {
      schema["anyOf"] =
          Json::array({{{"oneOf", variants}}, {{"required", Json::array({"approve"})}}});
    } else {
      schema["oneOf"] = variants;
    }
  }
  return schema;
}

std::string type_word(const KeySchema& key) {
  switch (key.shape) {
    case Shape::kMapping:
      return "mapping";
    case Shape::kNamed:
      return "names, each with a mapping";
    case Shape::kList:
      return "list of mappings";
    case Shape::kLeaf:
      break;
  }
  switch (key.field.type) {
    case FieldType::kText:
      return "text";
    case FieldType::kFlag:
      return "true or false";
    case FieldType::kNumber:
      return "number";
    case FieldType::kDuration:
      return "duration";
    case FieldType::kSize:
      return "size";
    case FieldType::kSchedule:
      return "schedule";
    case FieldType::kMoment:
      return "moment";
    case FieldType::kPath:
      return "path";
    case FieldType::kUrl:
      return "address";
    case FieldType::kSecret:
      return "secret";
    case FieldType::kTextList:
      return "text or list";
    case FieldType::kPathList:
      return "path or list";
    case FieldType::kTextMap:
      return "names with texts";
    case FieldType::kSecretMap:
      return "names with texts or secrets";
  }
  return "";
}

// A "|" would end the cell.
std::string cell(std::string text) {
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.insert(at, "\\");
  }
  return text;
}

std::string key_row(const KeySchema& key) {
  std::string text = key.field.help;
  if (!key.field.choices.empty()) {
    std::string choices;
    for (const std::string& choice : key.field.choices) {
      choices += (choices.empty() ? "`" : ", `") + choice + "`";
    }
    text += ": " + choices;
  }
  if (!key.field.default_text.empty()) {
    text += "; default: " + key.field.default_text;
  }
  if (!key.field.example.empty()) {
    text += fmt::format("; example: `{}`", key.field.example);
  }
  if (key.shape != Shape::kLeaf && key.mapping->id != "root") {
    std::string anchor = key.mapping->id;
    std::erase(anchor, '.');
    text += fmt::format("; see [{}](#{})", key.mapping->id, anchor);
  }
  return fmt::format("| `{}`{} | {} | {} |\n", key.field.name,
                     key.field.required ? " (required)" : "", type_word(key), cell(text));
}

}  // namespace

std::string json_schema(const Schema& schema) {
  Json document{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "salvor.yaml"}};
  document.update(mapping_schema(schema.root(), false));
  Json definitions = Json::object();
  for (const MappingSchema& mapping : schema.mappings()) {
    definitions[mapping.id] = mapping_schema(mapping, mapping.id == "root");
  }
  document["definitions"] = definitions;
  return document.dump(2) + "\n";
}

std::string reference(const Schema& schema) {
  std::string text;
  for (const MappingSchema& mapping : schema.mappings()) {
    text += fmt::format("### {}\n\n{}\n\n", mapping.id == "root" ? "At the top" : mapping.id,
                        mapping.summary);
    if (mapping.keys.empty()) {
      continue;
    }
    text += "| key | type | |\n|---|---|---|\n";
    for (const KeySchema& key : mapping.keys) {
      text += key_row(key);
    }
    text += "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace salvor::config
