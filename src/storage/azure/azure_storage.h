// A repository in a container of Azure Blob Storage.
#pragma once

#include <memory>
#include <string_view>

#include "storage/azure/azure_settings.h"
#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// `rest` is what follows "azure:" in the location (see azure_settings.h). restic's layout. Does not
// touch the place yet; does not try again by itself (see RetryStorage). Throws Error{kUsage},
// Error{kPermission} for credentials that are none.
//
// Uploads carry their MD5, which the server checks, and If-None-Match, which makes put
// create-if-absent. Objects above -o azure.block-size (64 MiB) are uploaded in blocks of that size
// and appear when the list of the blocks is stored; an upload that is tried again goes on with the
// blocks that have arrived (their names are made of their content). Azure is strongly consistent,
// and durable when it answers.
[[nodiscard]] std::unique_ptr<Storage> open_azure_storage(std::string_view rest,
                                                          const StorageOptions& options);
[[nodiscard]] std::unique_ptr<Storage> open_azure_storage(AzureSettings settings,
                                                          const StorageOptions& options);

}  // namespace salvor
