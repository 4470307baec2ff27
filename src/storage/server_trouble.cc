#include "storage/server_trouble.h"

#include <algorithm>
#include <utility>

namespace salvor {

bool is_one_of(std::string_view code, std::initializer_list<std::string_view> codes) {
  return std::ranges::find(codes, code) != codes.end();
}

Error transient_error(std::string text, bool overloaded, const HttpResponse& response) {
  Error error(ErrorCode::kUnreachable, std::move(text),
              overloaded ? "The server has too much to do." : "");
  return error.advise({.after = retry_after(response).value_or(std::chrono::milliseconds(0)),
                       .slow_down = overloaded});
}

Error foreign_not_found(std::string text) {
  return {ErrorCode::kUnreachable, std::move(text) + ", not in the storage's own words",
          "Somebody else may have answered: a load balancer or a proxy while the storage was away. "
          "Or the address is not that of the storage."};
}

Error vanished_bucket(std::string text) {
  return {ErrorCode::kUnreachable, std::move(text) + "; a moment ago it was there",
          "The server may have lost its disks for a while, or somebody has removed it."};
}

}  // namespace salvor
