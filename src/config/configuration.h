// Loads salvor.yaml: from its file, the layers over it and the environment to an Application that
// has been checked. The one way in; everything else in this folder serves it.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/layers.h"
#include "config/leaf.h"
#include "config/problem.h"
#include "config/schema.h"
#include "config/yaml_document.h"
#include "model/application.h"

namespace salvor::config {

struct ConfigurationRequest {
  std::string file;                     // of the base layer
  std::string environment;              // "production"; empty: none
  Variables variables;                  // of the environment, without the values of passwords
  std::set<std::string> not_ours;       // SALVOR_ variables that are options of commands
  std::set<std::string> passwords_set;  // names of password variables that have a value
  std::vector<std::string> settings;    // --set: "path=value"
  std::string home;
  std::string state_root;  // folder of state directories
  std::vector<StepKind> steps;
  // Where the calendar is looked at from: windows and gaps depend on daylight saving.
  std::chrono::sys_seconds now;
};

// The configuration cannot be used. `what()` is one sentence; `report` has every mistake with its
// place, its line and its fix.
class ConfigurationError : public Error {
 public:
  ConfigurationError(std::string message, std::string hint, std::vector<Problem> problems,
                     std::shared_ptr<const SourceTexts> sources)
      : Error(ErrorCode::kUsage, std::move(message), std::move(hint)),
        problems_(std::move(problems)),
        sources_(std::move(sources)) {}

  [[nodiscard]] const std::vector<Problem>& problems() const { return problems_; }
  [[nodiscard]] const SourceTexts& sources() const { return *sources_; }
  [[nodiscard]] std::string report() const;

 private:
  std::vector<Problem> problems_;
  std::shared_ptr<const SourceTexts> sources_;  // outlives copies of the exception
};

// A value. Thread-safe to read.
struct Configuration {
  Application application;
  YamlNode tree;  // all that was said, and the defaults, each value with its place
  std::shared_ptr<const SourceTexts> sources;
  std::vector<Problem> warnings;
  std::vector<std::string> files;  // that were read
};

// Reads the files named by `request`. Throws ConfigurationError; Error for a file that cannot be
// read.
[[nodiscard]] Configuration load_configuration(const ConfigurationRequest& request);
// The same from a text that has been read already; there is no file of the environment. `file` is
// its name in messages and decides what relative paths begin at.
[[nodiscard]] Configuration load_configuration_text(const ConfigurationRequest& request,
                                                    const std::string& text);

// "salvor.yaml" and "production" -> "salvor.production.yaml".
[[nodiscard]] std::string environment_file(const std::string& file, const std::string& environment);

}  // namespace salvor::config
