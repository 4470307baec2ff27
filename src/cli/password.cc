#include "cli/password.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/output/terminal_echo.h"

namespace salvor::cli {

namespace {

constexpr size_t kPasswordLimit = size_t{64} << 10;
constexpr int kPollMs = 100;

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0U | code >> 6);
    out += static_cast<char>(0x80U | (code & 0x3fU));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0U | code >> 12);
    out += static_cast<char>(0x80U | (code >> 6 & 0x3fU));
    out += static_cast<char>(0x80U | (code & 0x3fU));
  } else {
    out += static_cast<char>(0xf0U | code >> 18);
    out += static_cast<char>(0x80U | (code >> 12 & 0x3fU));
    out += static_cast<char>(0x80U | (code >> 6 & 0x3fU));
    out += static_cast<char>(0x80U | (code & 0x3fU));
  }
}

std::string decode_utf16(std::string_view bytes, bool big_endian) {
  const auto unit = [&](size_t i) -> uint32_t {
    const auto first = static_cast<unsigned char>(bytes[i]);
    const auto second = static_cast<unsigned char>(bytes[i + 1]);
    return big_endian ? first << 8U | second : second << 8U | first;
  };
  const Error malformed(ErrorCode::kFailed, "the password is not well-formed UTF-16",
                        "Save the file as UTF-8.");
  if (bytes.size() % 2 != 0) {
    throw malformed;
  }
  std::string text;
  text.reserve(bytes.size() * 2);
  for (size_t i = 0; i < bytes.size(); i += 2) {
    uint32_t code = unit(i);
    if (code >= 0xd800 && code < 0xdc00 && i + 3 < bytes.size()) {
      const uint32_t low = unit(i + 2);
      if (low < 0xdc00 || low > 0xdfff) {
        throw malformed;
      }
      code = 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00);
      i += 2;
    } else if (code >= 0xd800 && code < 0xe000) {
      throw malformed;
    }
    append_utf8(text, code);
  }
  return text;
}

std::string_view trim(std::string_view text) {
  static constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

Secret from_file(const std::string& path) {
  try {
    Buffer content = read_file(path, kPasswordLimit);
    Secret password = decode_password_text(as_text(content.view()));
    wipe(content.data(), content.size());
    return password;
  } catch (Error& error) {
    throw error.within("cannot take the password from a file");
  }
}

// One line, without its end. Byte by byte: what follows on a pipe is not ours.
Secret read_line(int fd, const std::stop_token& stop) {
  std::string line;
  line.reserve(kPasswordLimit);  // never re-allocated: no copies of the password are left behind
  for (;;) {
    // Waits in slices: the signal that ends a run may interrupt the read before the token has
    // fired.
    pollfd ready{fd, POLLIN, 0};
    const int events = ::poll(&ready, 1, kPollMs);
    if (stop.stop_requested()) {
      wipe(line.data(), line.size());
      throw cancelled();
    }
    if (events <= 0) {
      continue;
    }
    char byte = 0;
    const ssize_t got = ::read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      throw Error::from_errno(errno, "cannot read the password");
    }
    if (got == 0 || byte == '\n' || line.size() == kPasswordLimit) {
      break;
    }
    line += byte;
  }
  if (!line.empty() && line.back() == '\r') {
    line.pop_back();
  }
  Secret secret{std::string(line)};
  wipe(line.data(), line.size());
  return secret;
}

Secret ask(int fd, const std::string& prompt, Terminal& terminal, const std::stop_token& stop) {
  const EchoOff quiet(fd);
  terminal.prompt(prompt);
  Secret secret = read_line(fd, stop);
  terminal.raw_error_line("");  // the newline that was not echoed
  return secret;
}

FoundPassword typed(const PasswordSources& sources, Terminal& terminal,
                    const std::stop_token& stop) {
  UniqueFd tty;
  int fd = 0;
  if (sources.stdin_is_data) {
    tty = UniqueFd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!tty) {
      throw Error(ErrorCode::kUsage, "cannot read both password and data from stdin",
                  "Give the password with --password-file, --password-command or SALVOR_PASSWORD.");
    }
    fd = tty.get();
  } else if (::isatty(fd) != 1) {
    return {read_line(fd, stop), false};
  }
  FoundPassword found{ask(fd, sources.prompt, terminal, stop), true};
  if (!sources.confirm_prompt.empty()) {
    const Secret again = ask(fd, sources.confirm_prompt, terminal, stop);
    if (again.reveal() != found.password.reveal()) {
      throw Error(ErrorCode::kUsage, "the two passwords are not the same",
                  "Run the command again and type the same password twice.");
    }
  }
  return found;
}

}  // namespace

Secret decode_password_text(std::string_view content) {
  if (content.starts_with("\xef\xbb\xbf")) {
    return Secret(std::string(trim(content.substr(3))));
  }
  if (content.starts_with("\xff\xfe") || content.starts_with("\xfe\xff")) {
    std::string text = decode_utf16(content.substr(2), content[0] == '\xfe');
    Secret secret{std::string(trim(text))};
    wipe(text.data(), text.size());
    return secret;
  }
  return Secret(std::string(trim(content)));
}

bool has_password_source(const PasswordSources& sources, const Environment& environment) {
  return sources.none || sources.file || sources.command ||
         (!sources.variable.empty() && environment.password(sources.variable).has_value());
}

FoundPassword find_password(const PasswordSources& sources, const Environment& environment,
                            Terminal& terminal, const std::stop_token& stop) {
  if (sources.none) {
    if (sources.file || sources.command) {
      throw Error(ErrorCode::kUsage,
                  "an option for an empty password excludes a password file or command",
                  "Leave out either --insecure-no-password or the password's source.");
    }
    if (!sources.variable.empty() && environment.password(sources.variable)) {
      throw Error(ErrorCode::kUsage,
                  "an option for an empty password excludes a password in the environment",
                  "Leave out --insecure-no-password, or unset SALVOR_" + sources.variable +
                      " and RESTIC_" + sources.variable + ".");
    }
    return {};
  }
  FoundPassword found;
  if (sources.command) {
    found.password = run_password_command(*sources.command, terminal, stop);
  } else if (sources.file) {
    found.password = from_file(*sources.file);
  } else if (auto variable =
                 sources.variable.empty() ? std::nullopt : environment.password(sources.variable)) {
    found.password = std::move(*variable);
  } else {
    found = typed(sources, terminal, stop);
  }
  if (found.password.empty()) {
    throw Error(
        ErrorCode::kUsage, "an empty password is not allowed by default",
        "Pass --insecure-no-password if that is what you want. Where a password was meant to come "
        "from a file, command or variable, look whether that is empty.");
  }
  return found;
}

}  // namespace salvor::cli
