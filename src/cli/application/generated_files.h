// The files that make a scheduler call `salvor run` for an application (T2).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "config/configuration.h"
#include "model/application.h"

namespace salvor::cli {

struct GeneratedFile {
  std::string name;
  std::string text;
};

struct ScheduleSetting {
  std::string program;                     // absolute path of salvor
  std::string user;                        // who runs it, for cron
  std::string image;                       // for Kubernetes
  std::set<std::string> variables = {};    // variables_of the configuration
  std::vector<std::string> settings = {};  // of --set
};

// Names of the variables besides references to secrets without which the configuration would say
// something else, or nothing: SALVOR_ variables, the usual ones, what is filled in to addresses.
[[nodiscard]] std::set<std::string> variables_of(const config::Configuration& loaded);

// `scheduler`: "systemd", "cron", "kubernetes" or "github". No file holds a secret: references are
// handed over as what the scheduler has for them.
[[nodiscard]] std::vector<GeneratedFile> schedule_files(const std::string& scheduler,
                                                        const Application& application,
                                                        const ScheduleSetting& setting);
// What is to be done with them. Several lines.
[[nodiscard]] std::string schedule_advice(const std::string& scheduler,
                                          const Application& application,
                                          const ScheduleSetting& setting);

// Of the program that runs now.
[[nodiscard]] std::string program_path();

}  // namespace salvor::cli
