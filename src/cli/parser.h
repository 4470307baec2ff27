// Command-line parsing with the rules of restic's own parser (POSIX/GNU as Go's pflag has them):
//   --option=value  --option value  -ovalue  -o value  -o=value  -abc (flags run together)
//   options and positional arguments in any order, options also before the command; "--" ends
//   options an option that takes a value takes the next argument, whatever it looks like
//   ("--exclude -x") counters: -v -v, -vv, -v=2, --verbose=2
//
// Written by hand because CLI11 2.1 differs from all that where scripts notice: "-r=x" yields "=x",
// "--exclude '[ab]'" loses its brackets, "--verbose=2" and command options before the command fail
// (docs/adr/ says more).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/environment.h"

namespace salvor::cli {

struct ParsedCommand {
  // From the root to the command, root included. Never empty.
  std::vector<const CommandSpec*> path;
  bool help = false;     // --help or -h was given, or a group was named without a sub-command
  bool version = false;  // --version was given
  [[nodiscard]] const CommandSpec& command() const { return *path.back(); }
};

// Fills in the fields that the options and positionals of `root` (its options are the global ones)
// and of the command found are bound to, from `arguments` (without the program's name) and then
// from the environment. Throws Error{kUsage} with a "did you mean" hint.
[[nodiscard]] ParsedCommand parse_command_line(const CommandSpec& root,
                                               std::span<const std::string> arguments,
                                               const Environment& environment);

// "salvor key add".
[[nodiscard]] std::string command_path_text(const std::vector<const CommandSpec*>& path);

}  // namespace salvor::cli
