// Reads what a secret reference names, whole: a key in PEM form has several lines, of which the
// configuration's resolver (for passwords) takes the first.
#pragma once

#include <functional>

#include "base/secret.h"
#include "cli/session.h"
#include "model/settings.h"

namespace salvor::cli {

// env: a variable of this process, file: its content,
// cmd: what a command prints, credential: a file in systemd's $CREDENTIALS_DIRECTORY. Refers to the
// session. The returned function throws Error that names the reference, never the secret; an empty
// one is an error.
[[nodiscard]] std::function<Secret(const SecretReference&)> secret_reader(Session& session);

}  // namespace salvor::cli
