#include "plan/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"

extern char** environ;

namespace salvor::plan {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr int kLockFd = 3;
constexpr int kMarkedTickMs = 100;
// $0: the file for the status; beside it a mark that the command was begun. The command does not
// inherit the lock, or one that stays in the background would hold it for ever.
constexpr const char* kKeeper =
    "f=$0; : >\"$f.started\" || exit 125; \"$@\" 3>&-; s=$?; "
    "if printf %s \"$s\" >\"$f.part\"; then sync \"$f.part\" || sync; mv -f \"$f.part\" \"$f\"; "
    "fi; "
    "exit \"$s\"";
constexpr const char* kInFolder = "cd -- \"$0\" || exit 126; exec \"$@\"";

fs::path status_file(const fs::path& files) {
  return files.string() + ".status";
}
fs::path lock_file(const fs::path& files) {
  return files.string() + ".lock";
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw Error::from_errno(errno, "cannot make a pipe");
    }
    read_end = UniqueFd(ends[0]);
    write_end = UniqueFd(ends[1]);
  }
};

// What opens the repository is nobody else's business (net/subprocess.h leaves the same out).
bool is_password(std::string_view variable) {
  const std::string_view name = variable.substr(0, variable.find('='));
  return (name.starts_with("SALVOR_") || name.starts_with("RESTIC_")) && name.ends_with("PASSWORD");
}

class Spawned {
 public:
  Spawned(const CommandOrder& order, const fs::path& files) : name_(order.arguments.at(0)) {
    std::vector<std::string> words = order.arguments;
    if (!order.directory.empty()) {
      words.insert(words.begin(), {"/bin/sh", "-c", kInFolder, order.directory});
    }
    UniqueFd lock;
    if (!files.empty()) {
      words.insert(words.begin(), {"/bin/sh", "-c", kKeeper, status_file(files).string()});
      lock = take_lock(files);
    }
    Pipe in;
    Pipe out;
    Pipe err;
    posix_spawn_file_actions_t actions{};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in.read_end.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out.write_end.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err.write_end.get(), STDERR_FILENO);
    if (lock) {
      posix_spawn_file_actions_adddup2(&actions, lock.get(), kLockFd);
    }
    const int error = spawn(words, order.environment, actions);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      pid_ = -1;
      throw Error(ErrorCode::kFailed,
                  "cannot start " + printable(name_) + ": " + std::strerror(error),
                  "Is it installed, and in the PATH of whoever runs the plan?");
    }
    input_ = std::move(in.write_end);
    output_ = std::move(out.read_end);
    errors_ = std::move(err.read_end);
    for (const int fd : {input_.get(), output_.get(), errors_.get()}) {
      ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
  }
  ~Spawned() {
    if (pid_ > 0) {
      end_group();
    }
  }
  Spawned(const Spawned&) = delete;
  Spawned& operator=(const Spawned&) = delete;

  CommandOutcome finish(const Context& context, const CommandOrder& order) {
    CommandOutcome outcome;
    std::string_view left = order.input;
    if (left.empty()) {
      input_.reset();
    }
    while (true) {
      const bool ended = reap(outcome.exit);
      exchange(left, outcome, order.output_limit_bytes, ended ? 0 : kTickMs);
      if (ended) {
        return outcome;
      }
      if (context.stop.stop_requested()) {
        end_group();
        end_marked(order.marks);
        throw cancelled();
      }
    }
  }

 private:
  static constexpr int kTickMs = 50;

  // The order of the calls matters: duplicating onto 3 must not meet a pipe end that is 3.
  static UniqueFd take_lock(const fs::path& files) {
    std::error_code none;
    fs::remove(status_file(files), none);
    constexpr mode_t kOwnerOnly = 0600;
    constexpr int kAbove = 100;
    const UniqueFd low(::open(lock_file(files).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kOwnerOnly));
    if (!low) {
      throw Error::from_errno(errno, "cannot open " + lock_file(files).string());
    }
    UniqueFd fd(::fcntl(low.get(), F_DUPFD_CLOEXEC, kAbove));
    if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      throw Error(ErrorCode::kLocked, "an earlier attempt of this command still runs",
                  "Wait for its end, or end it.");
    }
    return fd;
  }

  int spawn(const std::vector<std::string>& words, const std::vector<std::string>& added,
            const posix_spawn_file_actions_t& actions) {
    std::vector<char*> arguments;
    for (const std::string& word : words) {
      arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    std::vector<char*> variables;
    for (char** at = environ; *at != nullptr; ++at) {
      const std::string_view name(*at, std::strcspn(*at, "="));
      bool replaced = is_password(*at);
      for (const std::string& one : added) {
        replaced = replaced || std::string_view(one).substr(0, one.find('=')) == name;
      }
      if (!replaced) {
        variables.push_back(*at);
      }
    }
    for (const std::string& one : added) {
      variables.push_back(const_cast<char*>(one.c_str()));
    }
    variables.push_back(nullptr);
    posix_spawnattr_t attributes{};
    posix_spawnattr_init(&attributes);
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    const int error = posix_spawnp(&pid_, arguments[0], &actions, &attributes, arguments.data(),
                                   variables.data());
    posix_spawnattr_destroy(&attributes);
    return error;
  }

  bool reap(ExitState& exit) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR)) {
      return false;
    }
    if (ended < 0) {
      exit.status = 255;
    } else if (WIFSIGNALED(status)) {
      exit.signal = WTERMSIG(status);
    } else {
      exit.status = WEXITSTATUS(status);
    }
    pid_ = -1;
    return true;
  }

  // The leader is not reaped before the group got its signals: the number cannot be another's.
  void end_group() {
    ::kill(-pid_, SIGTERM);
    constexpr int kSteps = 100;
    for (int i = 0; i < kSteps; ++i) {
      siginfo_t info{};
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid_) {
        break;
      }
      std::this_thread::sleep_for(milliseconds(kTickMs));
    }
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

  void exchange(std::string_view& input, CommandOutcome& outcome, uint64_t limit, int wait_ms) {
    std::array<pollfd, 3> polled{pollfd{.fd = input_.get(), .events = POLLOUT, .revents = 0},
                                 pollfd{.fd = output_.get(), .events = POLLIN, .revents = 0},
                                 pollfd{.fd = errors_.get(), .events = POLLIN, .revents = 0}};
    if (!output_ && !errors_ && !input_) {
      std::this_thread::sleep_for(milliseconds(wait_ms / 5));
      return;
    }
    ::poll(polled.data(), polled.size(), wait_ms);
    if (input_ && polled[0].revents != 0) {
      const ssize_t written = ::write(input_.get(), input.data(), input.size());
      if (written > 0) {
        input.remove_prefix(static_cast<size_t>(written));
      }
      if (input.empty() || (written < 0 && errno != EAGAIN && errno != EINTR)) {
        input_.reset();
      }
    }
    take(output_, outcome.output, outcome.cut, limit, false);
    take(errors_, outcome.errors, outcome.cut, limit, true);
  }

  static void take(UniqueFd& fd, std::string& into, bool& cut, uint64_t limit, bool last) {
    std::array<char, 16384> buffer;
    while (fd) {
      const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        fd.reset();
        return;
      }
      if (got < 0) {
        return;
      }
      const auto size = static_cast<size_t>(got);
      const size_t room = limit > into.size() ? limit - into.size() : 0;
      cut = cut || size > room;
      if (last) {
        into.append(buffer.data(), size);
        into.erase(0, into.size() - std::min<size_t>(into.size(), limit));
      } else {
        into.append(buffer.data(), std::min(size, room));
      }
    }
  }

  std::string name_;
  pid_t pid_ = -1;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
};

}  // namespace

CommandOutcome run_command(const Context& context, const CommandOrder& order) {
  context.check_stopped();
  if (order.arguments.empty() || order.arguments[0].empty()) {
    throw Error(ErrorCode::kUsage, "no command was given");
  }
  Spawned process(order, order.files);
  return process.finish(context, order);
}

bool was_started(const fs::path& files) {
  std::error_code none;
  return fs::exists(status_file(files).string() + ".started", none);
}

std::optional<ExitState> earlier_outcome(const Context& context, const fs::path& files) {
  constexpr int kTickMs = 100;
  while (true) {
    const UniqueFd fd(::open(lock_file(files).c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) {
      return {};
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) {
      break;
    }
    context.check_stopped();
    std::this_thread::sleep_for(milliseconds(kTickMs));
  }
  std::error_code none;
  if (!fs::exists(status_file(files), none)) {
    return {};
  }
  constexpr uint64_t kLimitBytes = 64;
  const Buffer bytes = read_file(status_file(files).string(), kLimitBytes);
  const std::string_view text = as_text(bytes.view());
  ExitState exit;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exit.status);
  if (error != std::errc() || end != text.data() + text.size()) {
    return {};
  }
  constexpr int kSignals = 128;
  if (exit.status > kSignals) {
    exit = {.status = 0, .signal = exit.status - kSignals};
  }
  return exit;
}

std::vector<int> processes_marked(const std::vector<std::string>& entries, bool prefix) {
  std::vector<int> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc", none)) {
    const std::string name = entry.path().filename();
    int pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size() || pid == ::getpid()) {
      continue;
    }
    std::string environment(1, '\0');
    try {
      constexpr uint64_t kLimitBytes = uint64_t{4} << 20;
      const Buffer bytes = read_file(entry.path() / "environ", kLimitBytes);
      environment += as_text(bytes.view());
    } catch (const Error&) {
      continue;  // it has ended, or is another user's
    }
    const bool all = std::all_of(entries.begin(), entries.end(), [&](const std::string& one) {
      return environment.find('\0' + one + (prefix ? "" : std::string(1, '\0'))) !=
             std::string::npos;
    });
    if (all && !entries.empty()) {
      found.push_back(pid);
    }
  }
  return found;
}

void end_marked(const std::vector<std::string>& entries, bool prefix) {
  constexpr int kPolite = 20;
  constexpr int kMost = 30;
  for (int i = 0; i < kMost; ++i) {
    const std::vector<int> left = processes_marked(entries, prefix);
    if (left.empty()) {
      return;
    }
    for (const int pid : left) {
      ::kill(pid, i < kPolite ? SIGTERM : SIGKILL);
    }
    std::this_thread::sleep_for(milliseconds(kMarkedTickMs));
  }
}

bool program_exists(const std::string& program) {
  if (program.find('/') != std::string::npos) {
    return ::access(program.c_str(), X_OK) == 0;
  }
  const char* const path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (::access((std::string(rest.substr(0, end)) + "/" + program).c_str(), X_OK) == 0) {
      return true;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

}  // namespace salvor::plan
