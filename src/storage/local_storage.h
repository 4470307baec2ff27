// A directory in restic's default layout (restic format, section 1).
#pragma once

#include <memory>
#include <string>

#include "storage/storage.h"

namespace salvor {

// Temporary file, fsync, link or rename without replacing, fsync of the directory, read-only mode
// 0400 (0440 and 0770 directories when `config` is group-readable). Left-over temporary files are
// ignored.
[[nodiscard]] std::unique_ptr<Storage> open_local_storage(const std::string& directory);

}  // namespace salvor
