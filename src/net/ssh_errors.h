// What ssh says when it fails, made into errors that say what to do.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/subprocess.h"

namespace salvor {

// The connection to `place` ended (`state`: how the program did, when it has) after the greeting
// (`connected`) or before. `words` is what it wrote to its standard error, `program` its name.
[[nodiscard]] Error ssh_error(const std::string& place, bool connected,
                              const std::optional<ExitState>& state, std::string_view words,
                              const std::string& program);

// Something answered, but not in SFTP: `start` is how that began.
[[nodiscard]] Error no_sftp_error(const std::string& place, std::string_view start,
                                  std::string_view words);

}  // namespace salvor
