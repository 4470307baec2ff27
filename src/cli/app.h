// The program as a function: what main does, with everything it touches passed in.
#pragma once

#include <span>
#include <string>

#include "base/context.h"
#include "cli/environment.h"
#include "cli/output/terminal.h"

namespace salvor::cli {

// Parses `arguments` (without the program's name), runs the command and returns the exit status.
// Errors are shown on the terminal; nothing is thrown. `stop` ends the run gracefully.
[[nodiscard]] int run_salvor(std::span<const std::string> arguments, const Environment& environment,
                             Terminal& terminal, const std::stop_token& stop);

}  // namespace salvor::cli
