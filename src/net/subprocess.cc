#include "net/subprocess.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/error.h"

extern char** environ;

namespace salvor {
namespace {

// What opens the repository is nobody else's business. References (files, commands) may pass.
constexpr std::array<std::string_view, 6> kSecretVariables{
    "SALVOR_PASSWORD=", "SALVOR_FROM_PASSWORD=", "SALVOR_NEW_PASSWORD=",
    "RESTIC_PASSWORD=", "RESTIC_FROM_PASSWORD=", "RESTIC_NEW_PASSWORD="};

bool same_variable(std::string_view a, std::string_view b) {
  return a.substr(0, a.find('=')) == b.substr(0, b.find('='));
}

std::vector<char*> make_environment(const std::vector<std::string>& added) {
  std::vector<char*> variables;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view variable = *at;
    bool keep = true;
    for (const std::string_view secret : kSecretVariables) {
      keep = keep && !variable.starts_with(secret);
    }
    for (const std::string& replacement : added) {
      keep = keep && !same_variable(variable, replacement);
    }
    if (keep) {
      variables.push_back(*at);
    }
  }
  for (const std::string& variable : added) {
    variables.push_back(const_cast<char*>(variable.c_str()));
  }
  variables.push_back(nullptr);
  return variables;
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw Error::from_errno(errno, "cannot make a pipe");
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// The two opaque posix_spawn objects.
struct SpawnSettings {
  explicit SpawnSettings(bool own_group) {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // We ignore SIGPIPE and handle others; the program starts with everything at its default.
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (own_group) {
      posix_spawnattr_setpgroup(&attributes, 0);
      flags |= POSIX_SPAWN_SETPGROUP;
    }
    posix_spawnattr_setflags(&attributes, flags);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

}  // namespace

std::string ExitState::text() const {
  if (signal != 0) {
    const char* const name = strsignal(signal);
    return "killed by signal " + std::to_string(signal) + " (" + (name != nullptr ? name : "?") +
           ")";
  }
  return "exit status " + std::to_string(status);
}

Subprocess::Subprocess(const SubprocessOptions& options) {
  if (options.arguments.empty() || options.arguments.front().empty()) {
    throw Error(ErrorCode::kUsage, "no command was given");
  }
  name_ = options.arguments.front();
  std::vector<std::string> words = options.arguments;
  if (options.ignore_interrupt) {
    // What is ignored stays so across exec; ssh and its like respect that.
    words.insert(words.begin(), {"/bin/sh", "-c", "trap '' INT QUIT; exec \"$0\" \"$@\""});
  }
  std::vector<char*> arguments;
  for (const std::string& argument : words) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  std::vector<char*> environment = make_environment(options.environment);

  SpawnSettings settings(options.own_group);
  Pipe input;
  Pipe output;
  Pipe errors;
  if (options.pipe_stdin) {
    input = make_pipe();
    posix_spawn_file_actions_adddup2(&settings.actions, input.read_end.get(), STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  if (options.pipe_stdout) {
    output = make_pipe();
    posix_spawn_file_actions_adddup2(&settings.actions, output.write_end.get(), STDOUT_FILENO);
  }
  if (options.pipe_stderr) {
    errors = make_pipe();
    posix_spawn_file_actions_adddup2(&settings.actions, errors.write_end.get(), STDERR_FILENO);
  }
  for (const int fd : options.inherited) {
    posix_spawn_file_actions_adddup2(&settings.actions, fd, fd);  // clears FD_CLOEXEC over there
  }
  const int error = posix_spawnp(&pid_, words.front().c_str(), &settings.actions,
                                 &settings.attributes, arguments.data(), environment.data());
  if (error != 0) {
    pid_ = -1;
    throw Error(
        ErrorCode::kFailed, "cannot start command " + name_ + ": " + std::strerror(error),
        "The command is run without a shell: give the program and each argument on its own, or "
        "run `sh -c '...'`.");
  }
  pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  stdin_ = std::move(input.write_end);
  stdout_ = std::move(output.read_end);
  stderr_ = std::move(errors.read_end);
}

Subprocess::~Subprocess() {
  stdin_.reset();
  stdout_.reset();
  stderr_.reset();
  if (pid_ < 0 || exit_ || poll_exit(WNOHANG)) {
    return;
  }
  terminate();
  constexpr int kSteps = 200;
  for (int i = 0; i < kSteps; ++i) {
    if (poll_exit(WNOHANG)) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(pid_, SIGKILL);
  static_cast<void>(poll_exit(0));
}

size_t Subprocess::read(MutableBytes out) {
  return stdout_ ? read_some(stdout_.get(), out, "output of command " + name_) : 0;
}

void Subprocess::write(ByteView bytes) {
  write_full(stdin_.get(), bytes, "input of command " + name_);
}

// True once the program has ended.
bool Subprocess::poll_exit(int flags) {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = waitpid(pid_, &status, flags);
  } while (ended < 0 && errno == EINTR);
  if (ended == 0) {
    return false;
  }
  ExitState state;
  if (ended < 0) {
    state.status = 255;  // somebody else has reaped it: nothing is known, so it did not succeed
  } else if (WIFSIGNALED(status)) {
    state.signal = WTERMSIG(status);
  } else {
    state.status = WEXITSTATUS(status);
  }
  exit_ = state;
  return true;
}

ExitState Subprocess::wait() {
  while (!exit_) {
    static_cast<void>(poll_exit(0));
  }
  return *exit_;
}

std::optional<ExitState> Subprocess::poll() {
  if (!exit_) {
    static_cast<void>(poll_exit(WNOHANG));
  }
  return exit_;
}

void Subprocess::terminate() {
  signal(SIGTERM);
}

void Subprocess::signal(int number) {
  if (pidfd_) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
  } else if (pid_ > 0) {
    ::kill(pid_, number);  // Linux before 5.3
  }
}

}  // namespace salvor
