// The checked configuration as an Application.
#pragma once

#include "config/checker.h"
#include "model/application.h"

namespace salvor::config {

// `root` is complete and without problems, or the result holds what could be read.
[[nodiscard]] Application read_application(const Checked& root);

// A location that is a relative path of this machine begins at `folder`, "~/" at `home` where there
// is one.
[[nodiscard]] std::string absolute_location(const std::string& location, const std::string& folder,
                                            const std::string& home);
// The path of a location on this machine, as short as can be; another location as it is.
[[nodiscard]] std::string place_of(const std::string& location);

}  // namespace salvor::config
