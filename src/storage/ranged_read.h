// Reads over HTTP, as the object stores (S3, Google Cloud, Azure) answer them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "net/http_client.h"
#include "storage/storage.h"

namespace salvor {

// The body of a read of at most `limit_bytes`. `what` begins the message ("cannot read data/12").
// Throws Error{kDamaged} when there was more.
[[nodiscard]] Buffer whole_body(HttpResponse response, const std::string& what,
                                uint64_t limit_bytes);

// A part of an object: which header asks for it, and whether the answer is it.
class RangedRead {
 public:
  RangedRead(std::string what, uint64_t offset, uint64_t size_bytes)
      : what_(std::move(what)), offset_(offset), size_bytes_(size_bytes) {}

  // "bytes=0-99". Not for a range of no bytes: there is none.
  [[nodiscard]] std::string header() const;
  // For a range of no bytes, of what `stat` found. Throws Error{kNotFound}, or Error{kDamaged} when
  // the object ends before the range.
  void check_empty(const std::optional<ObjectInfo>& info) const;
  // Status 416 must have come through. Throws Error{kDamaged} when the object ends before the
  // range does, Error{kFailed} when the server sent something else.
  void check(const HttpResponse& response) const;

 private:
  [[nodiscard]] Error ends_before() const;

  const std::string what_;
  const uint64_t offset_;
  const uint64_t size_bytes_;
};

}  // namespace salvor
