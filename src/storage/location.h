// Repository locations as restic writes them: "/srv/repo", "local:/srv/repo", "s3:https://...".
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// Does not touch the place yet, but for tar:, whose list of contents is read now. Remote storages
// try again by themselves (RetryStorage). Throws Error{kUsage} for a scheme that is not supported,
// naming those that are, for a location that is not one, and for extended options that the storage
// does not have.
[[nodiscard]] std::unique_ptr<Storage> open_storage(std::string_view location,
                                                    const StorageOptions& options = {});
// Without passwords or tokens, for messages.
[[nodiscard]] std::string display_location(std::string_view location);

}  // namespace salvor
