// `salvor init` where no repository is named: asks a few questions, writes a commented salvor.yaml
// for what is found here, and makes its repository.
#pragma once

#include <optional>
#include <string>

#include "cli/session.h"

namespace salvor::cli {

struct WizardOptions {
  bool yes = false;                     // ask nothing
  std::optional<std::string> location;  // of the repository
};

// Asks on the terminal, or takes the defaults. Where there is a configuration already, it
// only makes those of its repositories that do not exist. Overwrites nothing. Throws Error.
[[nodiscard]] int run_init_wizard(Session& session, const WizardOptions& options);

}  // namespace salvor::cli
