// What is alike in the error replies of storage servers that speak HTTP.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http_client.h"

namespace salvor {

[[nodiscard]] bool is_one_of(std::string_view code, std::initializer_list<std::string_view> codes);

// Error{kUnreachable} with the advice when to try again, as the reply asks for it. `overloaded`:
// fewer requests at a time would help.
[[nodiscard]] Error transient_error(std::string text, bool overloaded,
                                    const HttpResponse& response);

}  // namespace salvor
