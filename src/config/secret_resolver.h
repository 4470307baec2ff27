// From a reference to the secret itself: `env:`, `file:`, `cmd:`, `credential:`.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "base/secret.h"
#include "model/settings.h"

namespace salvor::config {

struct SecretSources {
  // Nothing when unset or empty. Also asked for the variables that hold repository passwords.
  std::function<std::optional<Secret>(const std::string& name)> variable;
  // systemd's $CREDENTIALS_DIRECTORY; empty: there is none.
  std::string credentials_directory;
  // What should be known and does not stop the work: a file that others may read.
  std::function<void(const std::string& message, const std::string& hint)> warn;
};

// Immutable. Thread-safe as far as `sources` is.
//
// A file's and a command's secret ends before the line's end; they hold at most 64 KiB. A command
// runs without a shell, may ask on the terminal's stderr, and has 60 seconds.
class SecretResolver {
 public:
  explicit SecretResolver(SecretSources sources) : sources_(std::move(sources)) {}

  // Blocks while a command runs. Throws Error that names the reference and what to do, never the
  // secret: kUsage when nothing is there or it is empty, kPermission, kNotFound, kFailed when the
  // command fails, kCancelled.
  [[nodiscard]] Secret resolve(const SecretReference& reference, const std::stop_token& stop) const;
  // A text that may be a reference (FieldType::kSecretMap): as it is, when it is none.
  [[nodiscard]] Secret resolve_text(const std::string& text, const std::stop_token& stop) const;

 private:
  [[nodiscard]] Secret from_variable(const std::string& name) const;
  [[nodiscard]] Secret from_file(const std::string& path, bool must_be_private) const;
  [[nodiscard]] Secret from_command(const std::string& command, const std::stop_token& stop) const;
  [[nodiscard]] Secret from_credential(const std::string& name) const;

  SecretSources sources_;
};

}  // namespace salvor::config
