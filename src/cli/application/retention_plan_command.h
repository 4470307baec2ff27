// `salvor retention plan` and `apply`: the policies of the configuration (T3).
#pragma once

#include "cli/command.h"

namespace salvor::cli {

CommandSpec retention_plan_command();
CommandSpec retention_apply_command();

}  // namespace salvor::cli
