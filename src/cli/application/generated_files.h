// The files that make a scheduler call `salvor run` for an application (T2).
#pragma once

#include <string>
#include <vector>

#include "model/application.h"

namespace salvor::cli {

struct GeneratedFile {
  std::string name;
  std::string text;
};

struct ScheduleSetting {
  std::string program;  // absolute path of salvor
  std::string user;     // who runs it, for cron
  std::string image;    // for Kubernetes
};

// `scheduler`: "systemd", "cron", "kubernetes" or "github". No file holds a secret: references are
// handed over as what the scheduler has for them.
[[nodiscard]] std::vector<GeneratedFile> schedule_files(const std::string& scheduler,
                                                        const Application& application,
                                                        const ScheduleSetting& setting);
// What is to be done with them. Several lines.
[[nodiscard]] std::string schedule_advice(const std::string& scheduler,
                                          const Application& application);

// Of the program that runs now.
[[nodiscard]] std::string program_path();

}  // namespace salvor::cli
