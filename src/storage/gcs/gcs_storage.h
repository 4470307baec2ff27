// A repository in a bucket of Google Cloud Storage, by its JSON interface.
#pragma once

#include <memory>
#include <string_view>

#include "storage/gcs/gcs_settings.h"
#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// `rest` is what follows "gs:" in the location (see gcs_settings.h; credentials:
// gcs_credentials.h). restic's layout. Does not touch the place yet; does not try again by itself
// (see RetryStorage). Throws Error{kUsage}.
//
// Objects are uploaded in one request with their CRC-32C, which the server checks and which its
// reply must repeat; put is made create-if-absent by ifGenerationMatch=0. Google Cloud Storage is
// strongly consistent, and durable when it answers. One request a pack: there is no resumable
// upload (a cut one is sent again). The size limit of the service is 5 TiB.
[[nodiscard]] std::unique_ptr<Storage> open_gcs_storage(std::string_view rest,
                                                        const StorageOptions& options);
[[nodiscard]] std::unique_ptr<Storage> open_gcs_storage(GcsSettings settings,
                                                        const StorageOptions& options);

}  // namespace salvor
