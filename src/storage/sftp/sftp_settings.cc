#include "storage/sftp/sftp_settings.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"
#include "net/http_client.h"
#include "net/split_command.h"

namespace salvor {
namespace {

struct Address {
  std::string user;
  std::string host;
  std::string port;
  std::string path;
};

[[noreturn]] void refuse(std::string_view location, const std::string& why) {
  throw Error(ErrorCode::kUsage, "SFTP location " + printable(location) + ": " + why,
              "Write sftp:user@host:path or sftp://user@host:port//absolute/path.");
}

// "[::1]" -> "::1"
std::string without_brackets(std::string_view host) {
  return std::string(host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2)
                                                                  : host);
}

// user@host, and whatever follows.
void split_user(std::string_view text, Address& address, std::string_view location) {
  const size_t at = text.rfind('@');
  if (at != std::string_view::npos) {
    address.user = std::string(text.substr(0, at));
    if (address.user.find(':') != std::string::npos) {
      refuse(location, "it holds a password, which ssh does not take from here");
    }
    text.remove_prefix(at + 1);
  }
  address.host = without_brackets(text);
}

Address parse_url(std::string_view location) {
  std::string_view rest = location.substr(std::string_view("sftp://").size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos || slash + 1 == rest.size()) {
    refuse(location, "it has no path");
  }
  Address address;
  const auto path = percent_decode(rest.substr(slash + 1));
  if (!path) {
    refuse(location, "its path has a % that is not followed by two hexadecimal digits");
  }
  address.path = *path;
  std::string_view authority = rest.substr(0, slash);
  const size_t colon = authority.rfind(':');
  const size_t bracket = authority.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket) &&
      authority.find('@', colon) == std::string_view::npos) {
    address.port = std::string(authority.substr(colon + 1));
    authority = authority.substr(0, colon);
  }
  split_user(authority, address, location);
  const auto user = percent_decode(address.user);
  address.user = user.value_or(address.user);
  return address;
}

Address parse_short(std::string_view location) {
  const std::string_view rest = location.substr(std::string_view("sftp:").size());
  size_t colon = rest.find(':');
  const size_t bracket = rest.find('[');
  if (bracket != std::string_view::npos && (bracket == 0 || rest[bracket - 1] == '@') &&
      bracket < colon) {
    colon = rest.find("]:");
    colon = colon == std::string_view::npos ? colon : colon + 1;
  }
  if (colon == std::string_view::npos) {
    refuse(location, "a colon and the path are missing");
  }
  Address address;
  split_user(rest.substr(0, colon), address, location);
  address.path = std::string(rest.substr(colon + 1));
  return address;
}

Address from_environment(const StorageOptions& options) {
  Address address;
  address.host = without_brackets(options.environment("SSH_HOST").value_or(""));
  address.user = options.environment("SSH_USER").value_or("");
  address.port = options.environment("SSH_PORT").value_or("");
  address.path = options.environment("SSH_PATH").value_or("");
  if (address.host.empty() || address.path.empty()) {
    throw Error(ErrorCode::kUsage, "the location sftp: needs SSH_HOST and SSH_PATH",
                "Set them, or write sftp:user@host:path.");
  }
  return address;
}

void check(Address& address, std::string_view location) {
  if (address.host.empty()) {
    refuse(location, "it has no host");
  }
  // ssh would take them for options.
  if (address.host.starts_with('-') || address.user.starts_with('-')) {
    refuse(location, "host and user must not begin with a dash");
  }
  if (address.port.size() > 5 ||
      !std::ranges::all_of(address.port, [](char c) { return c >= '0' && c <= '9'; })) {
    refuse(location, "its port is not a number");
  }
  if (address.path.starts_with('~')) {
    throw Error(ErrorCode::kUsage,
                "SFTP location " + printable(location) +
                    ": its path begins with ~, which servers do not understand",
                "Leave it out: a relative path begins at the home directory.");
  }
  if (address.path.empty() || address.path.find('\0') != std::string::npos) {
    refuse(location, "it has no path");
  }
  address.path = std::filesystem::path(address.path).lexically_normal().string();
  while (address.path.size() > 1 && address.path.ends_with('/')) {
    address.path.pop_back();
  }
}

std::vector<std::string> ssh_arguments(const Address& address, const std::string& more,
                                       const std::optional<std::string>& key, bool ask) {
  std::vector<std::string> arguments{"ssh"};
  if (!more.empty()) {
    const std::vector<std::string> words = split_command(more);
    arguments.insert(arguments.end(), words.begin(), words.end());
  }
  const auto option = [&](const char* text) { arguments.emplace_back(text); };
  if (!ask) {
    option("-oBatchMode=yes");
  }
  option("-oConnectTimeout=30");
  option("-oServerAliveInterval=15");  // an idle connection is kept, a dead one noticed in a minute
  option("-oServerAliveCountMax=4");
  option("-oCompression=no");  // what is encrypted does not compress
  option("-oIPQoS=none");
  option("-oRequestTTY=no");
  option("-oForwardX11=no");
  option("-oForwardAgent=no");
  option("-oPermitLocalCommand=no");
  option("-oClearAllForwardings=yes");
  if (key) {
    arguments.insert(arguments.end(), {"-i", *key, "-oIdentitiesOnly=yes"});
  }
  if (!address.port.empty()) {
    arguments.insert(arguments.end(), {"-p", address.port});
  }
  if (!address.user.empty()) {
    arguments.insert(arguments.end(), {"-l", address.user});
  }
  arguments.insert(arguments.end(), {"-s", address.host, "sftp"});
  return arguments;
}

}  // namespace

bool has_terminal() {
  const UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  return terminal && ::tcgetpgrp(terminal.get()) == ::getpgrp();
}

SftpSettings parse_sftp_settings(std::string_view location, const StorageOptions& options,
                                 bool terminal) {
  ExtendedOptions extended(options, "sftp");
  const std::string command = extended.text("command");
  const std::string more = extended.text("args");
  SftpSettings settings;
  settings.connections = extended.number("connections", 5, 1, 64);
  settings.stall_timeout = options.http.stall_timeout;
  extended.finish();
  if (!command.empty() && !more.empty()) {
    throw Error(ErrorCode::kUsage, "-o sftp.command and -o sftp.args exclude each other",
                "Write the arguments into the command.");
  }
  Address address = location == "sftp:"               ? from_environment(options)
                    : location.starts_with("sftp://") ? parse_url(location)
                                                      : parse_short(location);
  check(address, location);
  settings.path = address.path;
  settings.place = (address.user.empty() ? "" : address.user + "@") + address.host +
                   (address.port.empty() ? "" : ":" + address.port);
  if (!command.empty()) {
    settings.arguments = split_command(command);
    settings.more_arguments = settings.arguments;
    return settings;
  }
  const auto key = options.environment("SSH_KEY");
  if (key && key->find("PRIVATE KEY") != std::string::npos) {
    throw Error(ErrorCode::kUsage, "SSH_KEY holds a key instead of the name of its file",
                "Write the key to a file that only its owner may read, or load it into ssh-agent.");
  }
  settings.arguments = ssh_arguments(address, more, key, terminal);
  settings.more_arguments = ssh_arguments(address, more, key, false);
  return settings;
}

}  // namespace salvor
