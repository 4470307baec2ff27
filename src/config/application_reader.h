// The checked configuration as an Application.
#pragma once

#include "config/checker.h"
#include "model/application.h"

namespace salvor::config {

// `root` is complete and without problems, or the result holds what could be read.
[[nodiscard]] Application read_application(const Checked& root);

// A location that is a relative path of this machine begins at `folder`.
[[nodiscard]] std::string absolute_location(const std::string& location, const std::string& folder);

}  // namespace salvor::config
