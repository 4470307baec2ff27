// What a store, a step or a channel may be told in the configuration, as tables: the
// configuration checks against them, the JSON Schema and the docs are made from them, and who owns
// the table reads the values. So the configuration knows no particular store.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace salvor {

enum class FieldType : uint8_t {
  kText,
  kFlag,       // true or false, nothing else
  kNumber,     // decimal, not negative
  kDuration,   // "90s", "15m", "2h", "7d", "1w"; kept in the canonical form of seconds
  kSize,       // "512k", "16M", "1.5G": kept as bytes
  kSchedule,   // model/schedule.h
  kMoment,     // "latest", a time with zone, "label:pre-migration", ...
  kPath,       // relative to the folder of the configuration file; kept absolute
  kPathList,   // one path or a list of paths, kept absolute
  kUrl,        // a service's address without a password in it
  kSecret,     // a reference (SecretReference), never the secret
  kTextList,   // one text or a list of texts
  kTextMap,    // names with texts
  kSecretMap,  // names with texts, each of which may be a reference
};

// One key of a mapping.
struct FieldSpec {
  std::string name;
  FieldType type = FieldType::kText;
  std::string help;  // a phrase for the docs, the schema and messages; no full stop
  bool required = false;
  std::string default_text = {};          // shown; the owner applies it
  std::vector<std::string> choices = {};  // of kText
  std::string example = {};
};

using TextMap = std::vector<std::pair<std::string, std::string>>;  // in the order of the file

// Values that passed the check. kFlag: "true" or "false"; kNumber, kDuration and kSize: decimal.
class Settings {
 public:
  using Value = std::variant<std::string, std::vector<std::string>, TextMap>;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  [[nodiscard]] bool has(std::string_view name) const { return values_.contains(name); }
  // Empty when absent. Of another kind than asked for: a mistake of ours, std::bad_variant_access.
  [[nodiscard]] std::string text(std::string_view name, std::string_view otherwise = "") const;
  [[nodiscard]] bool flag(std::string_view name, bool otherwise) const;
  [[nodiscard]] uint64_t number(std::string_view name, uint64_t otherwise) const;
  [[nodiscard]] std::chrono::seconds duration(std::string_view name,
                                              std::chrono::seconds otherwise) const;
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const;
  [[nodiscard]] TextMap map(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, Value, std::less<>>& all() const { return values_; }

  friend bool operator==(const Settings&, const Settings&) = default;

 private:
  std::map<std::string, Value, std::less<>> values_;
};

// Where a secret is; what `env:NAME`, `file:PATH`, `cmd:COMMAND` and `credential:NAME` (systemd's
// $CREDENTIALS_DIRECTORY) say. A value.
struct SecretReference {
  enum Kind : uint8_t { kEnvironment, kFile, kCommand, kCredential };
  Kind kind = kEnvironment;
  std::string name;

  // Nothing when `text` is not of these forms.
  [[nodiscard]] static std::optional<SecretReference> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  friend bool operator==(const SecretReference&, const SecretReference&) = default;
};

}  // namespace salvor
