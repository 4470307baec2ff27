#include "connector/postgres/logical/client_tools.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <thread>

#include <sys/mman.h>
#include <unistd.h>

#include "base/format.h"
#include "net/subprocess.h"

namespace salvor::postgres {
namespace {

struct Found {
  std::string folder;
  unsigned major = 0;
};

// "pg_dump (PostgreSQL) 15.18 (Debian ...)"
std::optional<unsigned> major_version_of(const std::string& path) {
  try {
    Subprocess version({.arguments = {path, "--version"}});
    std::string text(200, '\0');
    text.resize(version.read(std::as_writable_bytes(std::span(text))));
    const size_t at = text.find(") ");
    unsigned major = 0;
    if (!version.wait().success() || at == std::string::npos ||
        std::from_chars(text.data() + at + 2, text.data() + text.size(), major).ec != std::errc()) {
      return std::nullopt;
    }
    return major;
  } catch (const Error&) {
    return std::nullopt;  // not a program that runs here: as if it were not there
  }
}

std::vector<std::string> places() {
  std::vector<std::string> folders;
  const char* variable = std::getenv("PATH");
  std::string path = variable == nullptr ? "" : variable;
  for (size_t at = 0; at <= path.size();) {
    const size_t colon = std::min(path.find(':', at), path.size());
    if (colon > at) {
      folders.push_back(path.substr(at, colon - at));
    }
    at = colon + 1;
  }
  for (unsigned major = 13; major <= 18; ++major) {
    folders.push_back("/usr/lib/postgresql/" + std::to_string(major) + "/bin");
    folders.push_back("/usr/pgsql-" + std::to_string(major) + "/bin");
  }
  folders.emplace_back("/usr/local/pgsql/bin");
  return folders;
}

std::string last_lines(const std::string& text) {
  constexpr size_t kShown = 500;
  std::string tail = text.size() > kShown ? text.substr(text.size() - kShown) : text;
  while (!tail.empty() && (tail.back() == '\n' || tail.back() == ' ')) {
    tail.pop_back();
  }
  std::string line;
  for (const char c : tail) {
    line += c == '\n' ? "; " : std::string(1, c);
  }
  return printable(line);
}

// Writes all of `input`, then closes; a program that does not listen is its own trouble.
void feed(Subprocess& program, ByteView input) {
  constexpr size_t kPiece = size_t{1} << 16;
  try {
    while (!input.empty()) {
      const size_t part = std::min(input.size(), kPiece);
      program.write(input.first(part));
      input = input.subspan(part);
    }
  } catch (const Error&) {
    // Its exit status tells.
  }
  program.close_stdin();
}

}  // namespace

unsigned oldest_reader(ByteView archive) {
  // "PGDMP", then the archive's own version: major, minor, revision, a byte each.
  constexpr std::string_view kMagic = "PGDMP";
  constexpr size_t kMinor = kMagic.size() + 1;
  if (archive.size() <= kMinor || !as_text(archive).starts_with(kMagic) ||
      archive[kMagic.size()] != std::byte{1}) {
    return 0;
  }
  const auto minor = std::to_integer<unsigned>(archive[kMinor]);
  return minor >= 16 ? 17 : minor == 15 ? 16 : 0;
}

std::string find_restore_tools(const std::string& given, ByteView archive, int server_version) {
  const auto server = static_cast<unsigned>(server_version) / 10000;
  const unsigned reader = oldest_reader(archive);
  return reader > server ? find_client_tools(given, "pg_restore", reader, "the backup's pg_dump")
                         : find_client_tools(given, "pg_restore", server);
}

std::string find_client_tools(const std::string& given, const std::string& program,
                              unsigned major_version, const std::string& of) {
  std::vector<Found> found;
  for (const std::string& folder : given.empty() ? places() : std::vector<std::string>{given}) {
    const std::string path = folder + "/" + program;
    if (::access(path.c_str(), X_OK) != 0) {
      continue;
    }
    if (const auto major = major_version_of(path)) {
      found.push_back({folder, *major});
    }
  }
  const Found* best = nullptr;
  std::string seen;
  for (const Found& one : found) {
    if (one.major >= major_version && (best == nullptr || one.major < best->major)) {
      best = &one;
    }
    const std::string text = std::to_string(one.major) + " in " + one.folder;
    if (seen.find(text) == std::string::npos) {
      seen += (seen.empty() ? "" : ", ") + text;
    }
  }
  if (best != nullptr) {
    return best->folder;
  }
  const std::string major = std::to_string(major_version);
  throw Error(ErrorCode::kNotFound,
              seen.empty() ? "there is no " + program + " on this machine"
                           : program + " is older than " + of + ", which is " + major +
                                 " (found: " + seen + ")",
              "Install postgresql-client-" + major +
                  " (or newer), or name its folder with --client-programs.");
}

Buffer run_tool(const Context& context, const ToolRun& run) {
  std::vector<std::string> arguments{run.program};
  arguments.insert(arguments.end(), run.arguments.begin(), run.arguments.end());
  // Its own messages in English, so that they can be told apart.
  std::vector<std::string> environment = run.environment;
  environment.emplace_back("LC_MESSAGES=C");
  Subprocess program({.arguments = std::move(arguments),
                      .pipe_stdin = !run.input.empty(),
                      .pipe_stdout = true,
                      .pipe_stderr = true,
                      .inherited = run.file != nullptr ? std::vector<int>{run.file->descriptor()}
                                                       : std::vector<int>(),
                      .environment = std::move(environment)});
  const std::stop_callback on_stop(context.stop, [&program] { program.terminate(); });
  std::string messages;
  Buffer output;
  {
    const std::jthread feeder([&] {
      if (!run.input.empty()) {
        feed(program, run.input);
      }
    });
    const std::jthread listener([&] {
      std::string piece(4096, '\0');
      constexpr size_t kKept = size_t{1} << 20;
      for (;;) {
        const ssize_t got = ::read(program.stderr_fd(), piece.data(), piece.size());
        if (got == 0 || (got < 0 && errno != EINTR)) {
          return;
        }
        if (got > 0 && messages.size() < kKept) {
          messages.append(piece, 0, static_cast<size_t>(got));
        }
      }
    });
    constexpr size_t kPiece = size_t{256} << 10;
    for (;;) {
      const size_t have = output.size();
      const size_t got = program.read(output.extend(kPiece));
      output.resize(have + got);
      if (got == 0 || output.size() > run.output_limit) {
        break;
      }
    }
    if (output.size() > run.output_limit) {
      program.terminate();
    }
  }
  const ExitState ended = program.wait();
  context.check_stopped();
  if (output.size() > run.output_limit) {
    throw Error(ErrorCode::kFailed, program.name() + " wrote more than " +
                                        format_bytes(run.output_limit) + ", which is too much");
  }
  if (!ended.success()) {
    throw Error(messages.find("permission denied") != std::string::npos ? ErrorCode::kPermission
                                                                        : ErrorCode::kFailed,
                program.name() + " failed (" + ended.text() + "): " + last_lines(messages));
  }
  for (size_t at = 0; run.on_message && at < messages.size();) {
    const size_t end = std::min(messages.find('\n', at), messages.size());
    if (end > at) {
      run.on_message(printable(messages.substr(at, end - at)));
    }
    at = end + 1;
  }
  return output;
}

ToolFile::ToolFile(std::string_view content) : file_(::memfd_create("salvor", MFD_CLOEXEC)) {
  if (!file_) {
    throw Error::from_errno(errno, "cannot make a file in memory");
  }
  write_full(file_.get(), as_bytes(content), "a file in memory");
}

std::string ToolFile::path() const {
  return "/dev/fd/" + std::to_string(file_.get());
}

}  // namespace salvor::postgres
