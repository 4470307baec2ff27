// The part of examine_storage (doctor.h) that is about Google Cloud Storage.
#pragma once

#include "storage/doctor.h"
#include "storage/gcs/gcs_client.h"

namespace salvor {

// Nothing is tried: the server is asked which permissions the credential has on the bucket
// (buckets.testIamPermissions), and some objects how long they are kept. Permissions that hold for
// some objects only (conditions, as for locks/) do not show there.
[[nodiscard]] StorageReport examine_gcs(const Context& context, const GcsSettings& settings,
                                        const StorageOptions& options);

}  // namespace salvor
