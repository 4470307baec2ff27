// Repository locations as restic writes them: "/srv/repo", "local:/srv/repo", later "s3:...",
// "sftp:...".
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/storage.h"

namespace salvor {

// Throws Error{kUsage} for a scheme that is not supported, naming those that are.
[[nodiscard]] std::unique_ptr<Storage> open_storage(std::string_view location);
// Without passwords or tokens, for messages.
[[nodiscard]] std::string display_location(std::string_view location);

}  // namespace salvor
