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

// Two answers 404 that must not be taken for "there is no such object", which would end a log early
// or a listing half way, with nobody the wiser. Both are Error{kUnreachable}; `text` says what was
// answered.
//
// One that is not in the storage's own form: of a load balancer or a proxy, while the storage
// restarts.
[[nodiscard]] Error foreign_not_found(std::string text);
// That there is no such bucket (or container), from a server that had it a moment ago.
[[nodiscard]] Error vanished_bucket(std::string text);

}  // namespace salvor
