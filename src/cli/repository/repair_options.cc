#include "cli/repository/repair_options.h"

#include <algorithm>
#include <thread>

namespace salvor::cli {

RepairOptions repair_options(const GlobalOptions& global, const OpenedRepository& opened) {
  RepairOptions options;
  options.write = write_options(global);
  options.write.confirm_lock = [&opened](const Context& context) { opened.confirm_lock(context); };
  options.threads = std::max(1U, std::thread::hardware_concurrency());
  options.confirm_lock = [&opened] { opened.confirm_lock(opened.context); };
  return options;
}

}  // namespace salvor::cli
