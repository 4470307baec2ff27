// The shape of salvor.yaml as one table. From it come the check of what was written, the names of
// the SALVOR_ variables, the JSON Schema for editors and the reference in docs/configuration.md.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "model/settings.h"
#include "model/step_kind.h"

namespace salvor::config {

enum class Shape : uint8_t {
  kLeaf,
  kMapping,  // fixed keys
  kNamed,    // names of the user's choosing, each with a mapping
  kList,     // of mappings
};

// What a text must be besides its type.
enum class Rule : uint8_t { kNone, kZone, kWindow, kManualSchedule, kAddresses };

struct MappingSchema;

struct KeySchema {
  FieldSpec field;  // of what is no leaf: name, help, required
  Shape shape = Shape::kLeaf;
  const MappingSchema* mapping = nullptr;  // owned by the Schema
  Rule rule = Rule::kNone;
  bool variant = false;  // exactly one of the mapping's variants is given
  bool in_plan = false;  // "${...}" is filled in when the plan runs
};

struct MappingSchema {
  std::string id;       // "source": also of its JSON Schema
  std::string title;    // for messages: `source`, with a name `source "db"`
  std::string summary;  // a paragraph of the reference
  std::vector<KeySchema> keys;
  std::string shorthand;  // a text or list in place of the mapping is the value of this key

  // Null when there is none.
  [[nodiscard]] const KeySchema* find(std::string_view name) const;
  [[nodiscard]] bool has_variants() const;
  [[nodiscard]] std::vector<std::string> names() const;
};

// Immutable once made. Thread-safe. The step kinds are copied.
class Schema {
 public:
  explicit Schema(const std::vector<StepKind>& steps);
  Schema(const Schema&) = delete;
  Schema& operator=(const Schema&) = delete;

  [[nodiscard]] const MappingSchema& root() const { return *root_; }
  // All mappings, in the order of the reference.
  [[nodiscard]] const std::deque<MappingSchema>& mappings() const { return mappings_; }

 private:
  MappingSchema& make(std::string id, std::string title, std::string summary);
  void make_policy();
  void make_sources();
  void make_plans(const std::vector<StepKind>& steps);
  void make_notifications();
  void make_root();
  const MappingSchema& get(std::string_view id) const;

  std::deque<MappingSchema> mappings_;
  const MappingSchema* root_ = nullptr;
};

// The scenarios that objectives and drills know.
[[nodiscard]] const std::vector<std::string>& drill_scenarios();
[[nodiscard]] const std::vector<std::string>& objective_scenarios();

}  // namespace salvor::config
