#include "storage/ranged_read.h"

namespace salvor {

Buffer whole_body(HttpResponse response, const std::string& what, uint64_t limit_bytes) {
  if (response.cut) {
    throw Error(ErrorCode::kDamaged,
                what + ": it has more than " + std::to_string(limit_bytes) + " bytes");
  }
  return std::move(response.body);
}

std::string RangedRead::header() const {
  return "bytes=" + std::to_string(offset_) + "-" + std::to_string(offset_ + size_bytes_ - 1);
}

Error RangedRead::ends_before() const {
  return {ErrorCode::kDamaged,
          what_ + ": it ends before byte " + std::to_string(offset_ + size_bytes_),
          "The stored object is damaged. Run check to see what it affects."};
}

void RangedRead::check_empty(const std::optional<ObjectInfo>& info) const {
  if (!info) {
    throw Error(ErrorCode::kNotFound, what_ + ": it does not exist");
  }
  if (info->size_bytes < offset_) {
    throw ends_before();
  }
}

void RangedRead::check(const HttpResponse& response) const {
  if (response.status == 416) {
    throw ends_before();
  }
  // Status 200: the whole object, whatever was asked for.
  if (response.cut || (response.status != 206 && offset_ != 0)) {
    throw Error(ErrorCode::kFailed, what_ + ": the server ignores ranges");
  }
  if (response.body_bytes < size_bytes_) {
    throw ends_before();
  }
}

}  // namespace salvor
