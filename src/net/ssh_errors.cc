#include "net/ssh_errors.h"

#include <vector>

#include "base/format.h"

namespace salvor {
namespace {

struct Known {
  std::string_view words;
  ErrorCode code;
  std::string_view hint;
};

// Looked for in this order: what is said first is often the cause of the rest.
constexpr Known kKnown[] = {
    {"REMOTE HOST IDENTIFICATION HAS CHANGED", ErrorCode::kPermission,
     "The server shows another key than before: it was set up anew, or somebody is in between. Ask "
     "whoever runs it, then remove the old key with `ssh-keygen -R HOST`."},
    {"Host key verification failed", ErrorCode::kPermission,
     "The server's key is not known here. Connect once by hand with `ssh`, as the user who makes "
     "the backups, and compare the fingerprint; or add the key to ~/.ssh/known_hosts."},
    {"UNPROTECTED PRIVATE KEY FILE", ErrorCode::kPermission,
     "Others may read the private key. Run `chmod 600` on it."},
    {"Bad owner or permissions", ErrorCode::kPermission,
     "Make ~/.ssh/config writable by its owner only."},
    {"Bad configuration option", ErrorCode::kUsage, "Correct ~/.ssh/config or -o sftp.args."},
    {"Too many authentication failures", ErrorCode::kPermission,
     "The agent offered too many keys. Name the right one in ~/.ssh/config: IdentityFile and "
     "IdentitiesOnly yes."},
    {"Permission denied", ErrorCode::kPermission,
     "The server refused the log-in. Check the user name, and that the public key is in the "
     "server's authorized_keys; without a terminal nothing can ask for a password or passphrase: "
     "use a key without one, or ssh-agent."},
    {"Could not resolve hostname", ErrorCode::kUnreachable,
     "Check the host's name, and whether names can be looked up."},
    {"subsystem request failed", ErrorCode::kFailed,
     "The server has no SFTP. Have its administrator add `Subsystem sftp internal-sftp` to "
     "sshd_config."},
    {"Connection refused", ErrorCode::kUnreachable,
     "Nothing listens there: check host and port, and whether sshd runs."},
    {"timed out", ErrorCode::kUnreachable, "Check the network, the host's name and firewalls."},
    {"No route to host", ErrorCode::kUnreachable, "Check the network and firewalls."},
    {"Network is unreachable", ErrorCode::kUnreachable, "Check the network."},
    {"No space left", ErrorCode::kStorageFull, "The server's disk is full."},
    {"kex_exchange_identification", ErrorCode::kUnreachable,
     "The server hung up at once: it may limit connections (MaxStartups; use fewer with "
     "-o sftp.connections=N) or refuse this address."},
};

// The last few lines, as one.
std::string last_words(std::string_view words) {
  constexpr size_t kLines = 3;
  std::vector<std::string> lines;
  while (!words.empty()) {
    const size_t end = words.find('\n');
    std::string_view line = words.substr(0, end);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) {
      line.remove_suffix(1);
    }
    // Rulers of "@", and commands to paste, which stand indented: the hint says what to do.
    if (line.find_first_not_of("@ ") != std::string_view::npos && !line.starts_with(' ')) {
      lines.push_back(printable(line));
    }
    words.remove_prefix(end == std::string_view::npos ? words.size() : end + 1);
  }
  std::string text;
  for (size_t i = lines.size() > kLines ? lines.size() - kLines : 0; i < lines.size(); ++i) {
    text += (text.empty() ? "" : "; ") + lines[i];
  }
  return text;
}

}  // namespace

Error ssh_error(const std::string& place, bool connected, const std::optional<ExitState>& state,
                std::string_view words, const std::string& program) {
  const std::string what =
      (connected ? "the connection to " + place + " was lost" : "cannot connect to " + place);
  if (state && state->status == 127 && !connected) {
    return {ErrorCode::kFailed, what + ": " + last_words(words),
            "The program " + program + " is not there. Install it (Debian: openssh-client)."};
  }
  std::string said = last_words(words);
  if (said.empty()) {
    said = state ? program + " ended with " + state->text() : program + " closed its output";
  }
  for (const Known& known : kKnown) {
    // Once connected, only the connection can have failed: trying again may help.
    if (words.find(known.words) != std::string_view::npos && !connected) {
      return {known.code, what + ": " + said, std::string(known.hint)};
    }
  }
  return {ErrorCode::kUnreachable, what + ": " + said,
          connected ? "" : "Try `ssh` with the same host by hand: it must log in."};
}

Error no_sftp_error(const std::string& place, std::string_view start, std::string_view words) {
  std::string message = "cannot speak SFTP with " + place + ": it answered \"" +
                        printable(start.substr(0, start.find_first_of("\r\n"))) + "\"";
  const std::string said = last_words(words);
  return {ErrorCode::kFailed, message + (said.empty() ? "" : " (" + said + ")"),
          "Something on the server writes to the terminal at log-in (.bashrc, .profile, a banner "
          "command): make it silent for sessions that are not interactive."};
}

}  // namespace salvor
