// Where and how an SFTP storage is reached: the location, -o sftp.*, and the environment.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "storage/storage_options.h"

namespace salvor {

struct SftpSettings {
  // The program and its arguments: for the first connection, and for those that follow (which must
  // never ask a person anything).
  std::vector<std::string> arguments;
  std::vector<std::string> more_arguments;
  std::string place;  // "user@host", for messages
  std::string path;   // of the repository; relative to the home directory, or absolute; no "/" end
  unsigned connections = 5;
  std::chrono::milliseconds stall_timeout{60'000};  // without a byte while an answer is due
};

// `location` is the whole: "sftp:user@host:path" (an IPv6 address in brackets),
// "sftp://user@host:port/path" (relative) or "sftp://user@host:port//path" (absolute), as restic.
// "sftp:" alone means SSH_USER, SSH_HOST, SSH_PORT and SSH_PATH of the environment; SSH_KEY names
// the private key for either form.
//
// -o sftp.command=...     instead of ssh and all its arguments
// -o sftp.args=...        more arguments for ssh, before ours: they win
// -o sftp.connections=N   at most so many at a time (5)
//
// `terminal`: whether a person can be asked (has_terminal). Throws Error{kUsage}.
[[nodiscard]] SftpSettings parse_sftp_settings(std::string_view location,
                                               const StorageOptions& options, bool terminal);

// Whether this process may talk to a person: it is in the foreground of a terminal. Not so for cron
// jobs, services and what was sent to the background.
[[nodiscard]] bool has_terminal();

}  // namespace salvor
