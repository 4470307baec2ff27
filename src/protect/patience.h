// Work with what may not answer: a repository or a server that is away must not keep the others
// from being looked at.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/context.h"

namespace salvor {

struct Failure {
  std::string message;  // empty: none
  std::string hint;
};

// Runs `body` under a token that fires with the context's and after `patience`. What it throws is a
// failure (`late_hint`: the next step when it took too long); only the context's own stop goes
// through, as Error{kCancelled}.
[[nodiscard]] Failure within(const Context& context, std::chrono::seconds patience,
                             const std::string& late_hint,
                             const std::function<void(const Context&)>& body);

}  // namespace salvor
