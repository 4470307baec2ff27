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

}  // namespace salvor
