// Fills in what nobody said, so that the short form and the long one are one tree: `repository:` at
// the top becomes `repositories: {main: ...}`, a policy's keys at the top become the policy
// `default`, a source's own become a policy of its own. Every value keeps the place it came from.
#pragma once

#include <string>

#include "config/layers.h"
#include "config/leaf.h"
#include "config/schema.h"

namespace salvor::config {

struct DefaultsRequest {
  SourceTexts& sources;
  Problems& problems;
  VariableLookup variable;  // the usual names: DATABASE_URL, S3_BUCKET ...
  std::function<bool(const std::string&)> has_password;  // whether such a variable is set
  std::string state_root;  // the folder of the application's state directory
  std::string environment;
};

// `tree` is written out and merged.
void fill_in(YamlNode& tree, const Schema& schema, const DefaultsRequest& request);

}  // namespace salvor::config
