// The kinds of steps, one file each (start, stop and scale share one).
#pragma once

#include "plan/step.h"

namespace salvor::plan {

[[nodiscard]] const Step& check_step();
[[nodiscard]] const Step& restore_step();
[[nodiscard]] const Step& command_step();
[[nodiscard]] const Step& sql_step();
[[nodiscard]] const Step& http_step();
[[nodiscard]] const Step& wait_step();
[[nodiscard]] const Step& start_step();
[[nodiscard]] const Step& stop_step();
[[nodiscard]] const Step& scale_step();
[[nodiscard]] const Step& approve_step();
[[nodiscard]] const Step& notify_step();
[[nodiscard]] const Step& plan_step();

}  // namespace salvor::plan
