// The password of an exported file: its own, or the repository's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "cli/command.h"
#include "cli/session.h"

namespace salvor::cli {

struct ExportPasswordOptions {
  std::optional<std::string> file;
  std::optional<std::string> command;
  bool none = false;
};

[[nodiscard]] std::vector<OptionSpec> export_password_table(ExportPasswordOptions& options);
// `repositorys` unless one is given by option or environment. Throws as find_password.
[[nodiscard]] Secret export_password(Session& session, const ExportPasswordOptions& options,
                                     const Secret& repositorys);

}  // namespace salvor::cli
