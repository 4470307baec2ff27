// What no single value shows: names that refer to nothing, promises that cannot be kept, orders
// that go round in circles.
#pragma once

#include "config/checker.h"
#include "config/yaml_document.h"
#include "model/application.h"

namespace salvor::config {

struct RulesRequest {
  const Application& application;
  const Checked& checked;
  const YamlNode& tree;  // complete: for places
  const SourceTexts& sources;
  Problems& problems;
  std::chrono::sys_seconds now;
};

void check_rules(const RulesRequest& request);

}  // namespace salvor::config
