// A bucket of Amazon S3 or of anything that speaks like it, in restic's default layout.
#pragma once

#include <memory>
#include <string_view>

#include "storage/storage.h"
#include "storage/storage_options.h"

namespace salvor {

// `rest` is what follows "s3:" in the location (s3_settings.h). Touches nothing yet; does not try
// again by itself (see RetryStorage). Throws Error{kUsage}.
//
// Uploads are single PUTs of at most 5 GB, signed with the content's SHA-256, which the server
// verifies; create-if-absent by If-None-Match where the server knows it, else (501) the object is
// written over, which does no harm where names are content hashes; configs and the like are looked
// for first. `create` makes the bucket when it is missing. The region is learnt from the server's
// refusal, expired credentials are fetched anew, and a wrong clock is corrected by the server's,
// each once and without an error.
[[nodiscard]] std::unique_ptr<Storage> open_s3_storage(std::string_view rest,
                                                       const StorageOptions& options);

}  // namespace salvor
