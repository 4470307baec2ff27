// Removes objects that nothing needs any more.
#pragma once

#include <vector>

#include "base/context.h"
#include "storage/storage.h"

namespace salvor {

class Repository;

// Removes in parallel. What cannot be removed is told as a Warning and counted in the result: a
// superfluous object does no harm.
[[nodiscard]] size_t remove_objects(const Context& context, const Repository& repository,
                                    std::vector<ObjectName> objects);

}  // namespace salvor
