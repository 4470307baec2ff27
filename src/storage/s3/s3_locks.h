// S3 object lock: whether a bucket has it, what protects an object, and making that last longer.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "storage/s3/s3_client.h"
#include "storage/storage.h"

namespace salvor {

struct S3LockState {
  enum class Known : uint8_t { kYes, kNo, kDenied };  // kDenied: not allowed to ask
  Known known = Known::kDenied;
  std::string default_mode;  // "GOVERNANCE", "COMPLIANCE"; empty: new objects are not locked
  std::chrono::days default_days{0};
  [[nodiscard]] bool may_be_locked() const { return known != Known::kNo; }
};
[[nodiscard]] S3LockState s3_lock_state(const Context& context, S3Client& client);

// Of the present version; nothing when it is absent, or not protected as far as one may see (the
// right s3:GetObjectRetention). One HEAD.
[[nodiscard]] std::optional<Retention> s3_retention(const Context& context, S3Client& client,
                                                    const std::string& key,
                                                    const std::string& what);

// In the mode that the object has, else that of the settings, else the bucket's, else governance.
void s3_extend_retention(const Context& context, S3Client& client, const std::string& key,
                         WallTime until, const std::string& what);

}  // namespace salvor
