// YAML as the configuration takes it: a tree in which every key and value knows where it stands.
//
// yaml-cpp reads; what it lets pass is refused here: duplicate keys, tags, merge keys, several
// documents. Aliases are resolved, within a limit. Scalars stay texts: what they mean is for the
// schema to say, so that `no` and `010` are seen as they were written.
//
// Limits: 1 MiB, 40 levels, 50,000 values (aliases count as often as they are used).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/problem.h"

namespace salvor::config {

struct YamlEntry;

struct YamlNode {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  bool quoted = false;  // or a block: certainly meant as a text
  std::string text;     // of a scalar; of kNull what stands there ("", "~", "null")
  Place place;
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // in the order of the file, keys unique

  [[nodiscard]] bool is_map() const { return kind == Kind::kMap; }
  [[nodiscard]] bool is_list() const { return kind == Kind::kList; }
  [[nodiscard]] bool is_scalar() const { return kind == Kind::kScalar; }
  [[nodiscard]] bool is_null() const { return kind == Kind::kNull; }
  // Null when there is none.
  [[nodiscard]] const YamlEntry* entry(std::string_view key) const;
  [[nodiscard]] YamlEntry* entry(std::string_view key);
  [[nodiscard]] const YamlNode* find(std::string_view key) const;
  [[nodiscard]] YamlNode* find(std::string_view key);
  // Replaces, or appends.
  YamlNode& put(const std::string& key, const Place& key_place, YamlNode value);
  void remove(std::string_view key);

  [[nodiscard]] static YamlNode scalar(std::string text, const Place& place);
  [[nodiscard]] static YamlNode map(const Place& place);
};

struct YamlEntry {
  std::string key;
  Place place;
  bool quoted = false;  // the key
  YamlNode value;
};

// Reads the file `source` (its text must have been prepared by `prepare_text`). What is wrong goes
// to `problems`; the tree then holds what could be understood. A mapping at the top, or null.
[[nodiscard]] YamlNode read_yaml(uint32_t source, const SourceTexts& sources, Problems& problems);

// The value of a variable or flag: a plain text, or YAML when it begins with "[" or "{". All of it
// stands at `place`.
[[nodiscard]] YamlNode read_yaml_value(const std::string& text, const Place& place,
                                       Problems& problems);

// What a file's bytes are as text: without a byte order mark, with "\n" at line ends. `problem` is
// why they cannot be taken (another encoding, control characters, too long); else empty.
struct PreparedText {
  std::string text;
  Place place;  // of the problem, without the source
  std::string problem;
  std::string hint;
};
[[nodiscard]] PreparedText prepare_text(std::string_view bytes);

}  // namespace salvor::config
