// Objects in memory, for tests and for `backup --dry-run`.
#pragma once

#include <memory>

#include "storage/storage.h"

namespace salvor {

[[nodiscard]] std::unique_ptr<Storage> make_memory_storage();

}  // namespace salvor
