#include "config/secret_resolver.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "net/split_command.h"
#include "net/subprocess.h"

namespace salvor::config {
namespace {

constexpr size_t kLimit = size_t{64} << 10;
constexpr std::chrono::seconds kCommandTime{60};
constexpr int kPollMs = 100;

// Up to the end of the line; the rest of what was read is wiped.
Secret first_line(std::string& text) {
  const size_t end = text.find_last_not_of("\r\n");
  Secret secret(end == std::string::npos ? std::string() : text.substr(0, end + 1));
  wipe(text.data(), text.size());
  return secret;
}

Error without_value(const SecretReference& reference, const std::string& why,
                    const std::string& hint) {
  return {ErrorCode::kUsage, fmt::format("the secret {} {}", reference.text(), why), hint};
}

}  // namespace

Secret SecretResolver::resolve(const SecretReference& reference,
                               const std::stop_token& stop) const {
  Secret secret;
  switch (reference.kind) {
    case SecretReference::kEnvironment:
      secret = from_variable(reference.name);
      break;
    case SecretReference::kFile:
      secret = from_file(reference.name, true);
      break;
    case SecretReference::kCommand:
      secret = from_command(reference.name, stop);
      break;
    case SecretReference::kCredential:
      secret = from_credential(reference.name);
      break;
  }
  if (secret.empty()) {
    throw without_value(reference, "is empty", "Put the secret there, or refer to another place.");
  }
  return secret;
}

Secret SecretResolver::resolve_text(const std::string& text, const std::stop_token& stop) const {
  const auto reference = SecretReference::parse(text);
  return reference ? resolve(*reference, stop) : Secret(text);
}

Secret SecretResolver::from_variable(const std::string& name) const {
  if (auto value = sources_.variable(name)) {
    return std::move(*value);
  }
  throw without_value(
      {.kind = SecretReference::kEnvironment, .name = name},
      "has no value: the variable is not set",
      fmt::format("Set {0} in the environment of salvor (a systemd unit: EnvironmentFile=), or "
                  "refer to a file (file:PATH) or command (cmd:COMMAND) instead.",
                  name));
}

Secret SecretResolver::from_file(const std::string& path, bool must_be_private) const {
  const SecretReference reference{.kind = SecretReference::kFile, .name = path};
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) {
      throw without_value(reference, "is a directory", "Name the file in it.");
    }
    if (must_be_private && S_ISREG(status.st_mode) && (status.st_mode & 0077U) != 0 &&
        sources_.warn) {
      sources_.warn(fmt::format("the file of a secret, {}, can be read by others (mode {:04o})",
                                path, status.st_mode & 07777U),
                    fmt::format("Run: chmod 600 {}", path));
    }
  }
  try {
    const Buffer content = read_file(path, kLimit);
    std::string text(as_text(content.view()));
    wipe(const_cast<std::byte*>(content.view().data()), content.view().size());
    return first_line(text);
  } catch (Error& error) {
    throw Error(error.code(),
                fmt::format("cannot read the secret {}: {}", reference.text(), error.message()),
                error.hint().empty() ? "Make the file, readable for the user that runs salvor only "
                                       "(chmod 600)."
                                     : error.hint());
  }
}

Secret SecretResolver::from_command(const std::string& command, const std::stop_token& stop) const {
  const SecretReference reference{.kind = SecretReference::kCommand, .name = command};
  const std::string hint =
      "Run the command by hand to see what is wrong; it is run without a shell.";
  const std::vector<std::string> words = split_command(command);
  if (words.empty()) {
    throw without_value(reference, "is no command", hint);
  }
  Subprocess child({.arguments = words});
  std::string output;
  output.reserve(kLimit + 1);  // never moved: no copies are left behind
  const auto deadline = std::chrono::steady_clock::now() + kCommandTime;
  std::array<std::byte, 4096> part{};
  for (;;) {
    pollfd ready{child.stdout_fd(), POLLIN, 0};
    const int events = ::poll(&ready, 1, kPollMs);
    const bool late = std::chrono::steady_clock::now() > deadline;
    if (stop.stop_requested() || late) {
      wipe(output.data(), output.size());
      throw late ? without_value(reference, "did not come within a minute", hint) : cancelled();
    }
    if (events <= 0) {
      continue;
    }
    const size_t got = child.read(part);
    if (got == 0) {
      break;
    }
    if (output.size() + got > kLimit) {
      wipe(output.data(), output.size());
      throw without_value(reference, "is longer than 64 KiB", hint);
    }
    output += as_text({part.data(), got});
  }
  wipe(part.data(), part.size());
  const ExitState state = child.wait();
  Secret secret = first_line(output);
  if (!state.success()) {
    throw Error(
        ErrorCode::kFailed,
        fmt::format("the command of the secret {} failed: {}", reference.text(), state.text()),
        hint);
  }
  return secret;
}

Secret SecretResolver::from_credential(const std::string& name) const {
  const SecretReference reference{.kind = SecretReference::kCredential, .name = name};
  if (name.find('/') != std::string::npos || name == ".." || name == ".") {
    throw without_value(reference, "is no name of a credential", "Names hold no \"/\".");
  }
  if (sources_.credentials_directory.empty()) {
    throw without_value(reference, "has no value: systemd gave this process no credentials",
                        fmt::format("Add LoadCredential={}:/path/to/file to the unit, and run it "
                                    "with systemd.",
                                    name));
  }
  return from_file(sources_.credentials_directory + "/" + name, false);
}

}  // namespace salvor::config
