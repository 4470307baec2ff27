// The part of examine_storage (doctor.h) that is about S3 buckets.
#pragma once

#include "storage/doctor.h"
#include "storage/s3/s3_client.h"

namespace salvor {

[[nodiscard]] StorageReport examine_s3(const Context& context, S3Client& client);

}  // namespace salvor
