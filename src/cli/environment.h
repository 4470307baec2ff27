// The process's environment as a value, so that tests decide what is in it, and without the
// passwords: those are taken out before any child process or thread exists.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace salvor::cli {

// A value; const access is thread-safe.
class Environment {
 public:
  using Variables = std::map<std::string, std::string, std::less<>>;

  Environment() = default;
  explicit Environment(Variables variables);

  // Copies this process's environment, then removes the password variables from it (also from the
  // memory that /proc/<pid>/environ shows), so that no child process inherits them. Call once,
  // first thing in main.
  [[nodiscard]] static Environment take_from_process();

  // The same with `more` added or replacing what is there; an empty value takes a variable away.
  [[nodiscard]] Environment with(Variables more) const;

  // Nothing when unset or empty: restic treats both alike.
  [[nodiscard]] std::optional<std::string> get(const std::string& name) const;
  // SALVOR_<suffix>, else RESTIC_<suffix>.
  [[nodiscard]] std::optional<std::string> get_either(const std::string& suffix) const;
  // The same for the passwords (suffix "PASSWORD", "FROM_PASSWORD" ...), which `get` does not show.
  [[nodiscard]] std::optional<Secret> password(const std::string& suffix) const;

  // Everything but the passwords.
  [[nodiscard]] const Variables& variables() const { return variables_; }
  // One of the password variables, by its whole name; nothing when unset or empty.
  [[nodiscard]] std::optional<Secret> secret(const std::string& name) const;
  // The names of the password variables that have a value.
  [[nodiscard]] std::vector<std::string> secret_names() const;

 private:
  Variables variables_;
  std::map<std::string, Secret, std::less<>> secrets_;
};

}  // namespace salvor::cli
