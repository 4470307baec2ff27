// What a configuration says, as a hash, and which keys have changed since another time: for the
// audit trail, which records every change of the configuration (O4).
//
// The hash is of the tree that is in effect (file, environment, variables, --set and defaults), not
// of the file: comments and layout do not change it, a variable does. No value is kept, only
// hashes of them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config/yaml_document.h"

namespace salvor::config {

struct Fingerprint {
  std::string hash;                           // SHA-256 of the canonical text, hexadecimal
  std::map<std::string, std::string> values;  // "sources.db.schedule" -> hash of the value
};
[[nodiscard]] Fingerprint fingerprint_of(const YamlNode& tree);

struct ConfigurationChange {
  std::string before;  // hash; empty: none is known
  std::string after;
  std::vector<std::string> keys;  // "sources.db.schedule", "+ copies[1]", "- drills.quarterly"
};

// Compares with what `path` remembers. When it differs calls `record`, then lets the file remember
// `now`: after a crash in between the change is recorded twice, never not at all. Durable on
// return. Throws Error when the file cannot be read or written, and what `record` throws.
void note_configuration(const std::string& path, const Fingerprint& now,
                        const std::function<void(const ConfigurationChange&)>& record);

}  // namespace salvor::config
