// Running --password-command: no shell, a bound on the output, stderr kept for the error.
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/password.h"
#include "net/split_command.h"

namespace salvor::cli {

namespace {

constexpr size_t kOutputLimit = size_t{64} << 10;
constexpr size_t kErrorLimit = size_t{4} << 10;
constexpr int kPollMs = 100;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw Error::from_errno(errno, "cannot make a pipe");
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Ends and reaps the child if nobody did before.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      (void)wait();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

pid_t spawn(const std::vector<std::string>& words, int out_fd, int err_fd) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));  // posix_spawn does not write to it
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
  ::posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
  pid_t pid = -1;
  const int failed =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    throw Error::from_errno(failed, "cannot run the password command \"" + words[0] + "\"");
  }
  return pid;
}

struct Collected {
  std::string output;
  std::string errors;
  bool too_long = false;
};

// Reads what is there; false at the end of the stream.
bool drain(int fd, std::string& into, size_t limit, bool& over, Terminal* echo) {
  std::array<char, 4096> chunk{};
  const ssize_t got = ::read(fd, chunk.data(), chunk.size());
  if (got < 0) {
    return errno == EINTR || errno == EAGAIN;
  }
  const std::string_view text(chunk.data(), static_cast<size_t>(got));
  if (echo != nullptr && got > 0) {
    echo->prompt(text);
  }
  const size_t room = limit - into.size();
  over = over || text.size() > room;
  into += text.substr(0, room);
  wipe(chunk.data(), chunk.size());
  return got > 0;
}

Collected collect(int out_fd, int err_fd, Terminal& terminal, const std::stop_token& stop) {
  Collected collected;
  collected.output.reserve(
      kOutputLimit);  // never re-allocated: no copies of the password stay behind
  std::array<pollfd, 2> ends{{{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}}};
  bool ignored = false;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (stop.stop_requested() || collected.too_long) {
      break;
    }
    if (::poll(ends.data(), ends.size(), kPollMs) <= 0) {
      continue;
    }
    if (ends[0].revents != 0 &&
        !drain(out_fd, collected.output, kOutputLimit, collected.too_long, nullptr)) {
      ends[0].fd = -1;
    }
    // A command that asks something (gpg, pass) does so on stderr: let a person see it at once.
    Terminal* echo = terminal.interactive() ? &terminal : nullptr;
    if (ends[1].revents != 0 && !drain(err_fd, collected.errors, kErrorLimit, ignored, echo)) {
      ends[1].fd = -1;
    }
  }
  return collected;
}

std::string outcome(int status) {
  return WIFSIGNALED(status) ? "was ended by signal " + std::to_string(WTERMSIG(status))
                             : "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Secret run_password_command(const std::string& command, Terminal& terminal,
                            const std::stop_token& stop) {
  const std::vector<std::string> words = split_command(command);
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  Child child(spawn(words, out.write_end.get(), err.write_end.get()));
  out.write_end.reset();
  err.write_end.reset();
  Collected collected = collect(out.read_end.get(), err.read_end.get(), terminal, stop);
  // Wiped whatever happens from here on.
  const Secret output(std::move(collected.output));
  if (stop.stop_requested()) {
    throw cancelled();
  }
  if (collected.too_long) {
    throw Error(ErrorCode::kFailed, "the password command printed more than 64 KiB");
  }
  const int status = child.wait();
  if (status != 0) {
    while (!collected.errors.empty() && collected.errors.back() == '\n') {
      collected.errors.pop_back();
    }
    throw Error(ErrorCode::kFailed,
                "the password command \"" + words[0] + "\" " + outcome(status) +
                    (collected.errors.empty() ? "" : ": " + collected.errors),
                "Run the command by hand to see what is wrong; it is run without a shell.");
  }
  return decode_password_text(output.reveal());
}

}  // namespace salvor::cli
