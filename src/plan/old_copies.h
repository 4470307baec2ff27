// Copies of runs' journals (run_mirror.h) that nobody needs any more.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/context.h"
#include "repo/repository.h"

namespace salvor::plan {

// So long after its last entry the copy of a run that is over stays.
inline constexpr std::chrono::days kCopyKept{90};

struct RemovedCopies {
  size_t runs = 0;
  size_t objects = 0;
};

// Removes the copies of runs that are over (RunState::over) for kCopyKept and of which `recorded`
// says that the repository has the record of their end. Of any other run nothing is touched: what
// could be resumed, or taken back, must be there for another machine. What of a copy cannot be read
// is taken for a run that is not over.
//
// Costs a listing, and the copies of those that `recorded` knows. Needs the right to remove. Throws
// Error; what is half removed then is removed by the next call.
RemovedCopies remove_old_copies(const Context& context, const Repository& repository,
                                const std::function<bool(const std::string& run)>& recorded);

}  // namespace salvor::plan
