// Where the repository's password comes from.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "cli/environment.h"
#include "cli/output/terminal.h"

namespace salvor::cli {

struct PasswordSources {
  std::optional<std::string> file;     // the whole content, BOM decoded, white space trimmed
  std::optional<std::string> command;  // its output, treated alike; run without a shell
  std::string variable;                // "PASSWORD", "FROM_PASSWORD" or empty: taken verbatim
  bool none = false;                   // --insecure-no-password: the empty password
  std::string prompt = "enter password for repository: ";
  std::string confirm_prompt = {};  // not empty: a typed password is asked for twice
  bool stdin_is_data = false;       // then only /dev/tty may be asked
};

struct FoundPassword {
  Secret password;
  bool typed = false;  // a person typed it: asking again makes sense
};

// The first of: none, command, file, environment variable, a line from the terminal (echo off), a
// line from stdin when that is not a terminal. Blocks. Throws Error{kUsage} for an empty password,
// Error naming the file or command when that fails (never its output, only its stderr),
// Error{kCancelled}.
[[nodiscard]] FoundPassword find_password(const PasswordSources& sources,
                                          const Environment& environment, Terminal& terminal,
                                          const std::stop_token& stop);

// Whether the sources give a password without asking anybody.
[[nodiscard]] bool has_password_source(const PasswordSources& sources,
                                       const Environment& environment);

// UTF-8 and UTF-16 byte order marks removed and decoded; leading and trailing white space removed.
// Throws Error{kFailed} for malformed UTF-16.
[[nodiscard]] Secret decode_password_text(std::string_view content);

// Runs a program and returns its standard output (at most 64 KiB). Its standard error is shown when
// stderr is a terminal and is part of the error when it fails. Throws Error.
[[nodiscard]] Secret run_password_command(const std::string& command, Terminal& terminal,
                                          const std::stop_token& stop);

}  // namespace salvor::cli
