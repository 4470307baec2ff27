// What a step's command becomes: a local process, or one on another host over ssh. Secrets reach it
// by its environment only: over ssh, by a script on ssh's standard input.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/process.h"
#include "plan/step.h"

namespace salvor::plan {

// Fields `host`, `ssh-options`, `environment`, `directory`, which command steps share.
[[nodiscard]] std::vector<FieldSpec> place_fields();

// One text is a line for /bin/sh, several are a program with its arguments. `settings` of the scene
// are expanded here and not before: into a line for the shell only plain values are put. Throws
// Error{kUsage} for a value that the shell would take apart, and for a password in an argument.
// `more`: variables of the step's own, never references.
[[nodiscard]] CommandOrder command_order(StepScene& scene, const std::vector<std::string>& command,
                                         const TextMap& more = {});

// What would stop it: the program, ssh, a secret that is not there.
[[nodiscard]] std::vector<std::string> command_problems(StepScene& scene,
                                                        const std::vector<std::string>& command);

// 'text' for /bin/sh.
[[nodiscard]] std::string shell_quoted(std::string_view text);

// Runs it; an end other than `accepted` is an Error with the end of what it said, secrets hidden.
[[nodiscard]] CommandOutcome run_accepted(StepScene& scene, const CommandOrder& order,
                                          const std::vector<int>& accepted);
// "{0,3}" from a list of texts; empty: only 0. Throws Error{kUsage}.
[[nodiscard]] std::vector<int> exit_codes(const std::vector<std::string>& texts);

}  // namespace salvor::plan
