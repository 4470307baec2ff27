// Shell completion scripts from the command tables. They are complete in themselves: none calls the
// program, so completing is fast and works without a repository.
#pragma once

#include <string>

#include "cli/command.h"

namespace salvor::cli {

[[nodiscard]] std::string render_bash_completion(const CommandSpec& root);
[[nodiscard]] std::string render_zsh_completion(const CommandSpec& root);
[[nodiscard]] std::string render_fish_completion(const CommandSpec& root);
[[nodiscard]] std::string render_powershell_completion(const CommandSpec& root);

}  // namespace salvor::cli
