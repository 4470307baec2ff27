// The part of examine_storage (doctor.h) that is about Azure Blob Storage.
#pragma once

#include "storage/azure/azure_settings.h"
#include "storage/doctor.h"

namespace salvor {

// A shared access signature says itself what it may (its parameter "sp"), and an account's key may
// everything; of an identity of Entra ID only the removal of what does not exist is tried.
[[nodiscard]] StorageReport examine_azure(const Context& context, AzureSettings settings,
                                          const StorageOptions& options);

}  // namespace salvor
