// Running other programs: commands whose output is backed up, hooks, ssh.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/bytes.h"
#include "base/fd.h"

namespace salvor {

// How a program ended.
struct ExitState {
  int status = 0;  // exit status, when signal is 0
  int signal = 0;  // the signal that ended it
  [[nodiscard]] bool success() const { return status == 0 && signal == 0; }
  // "exit status 3", "killed by signal 9 (Killed)"
  [[nodiscard]] std::string text() const;
};

struct SubprocessOptions {
  std::vector<std::string> arguments;  // [0] is the program, looked up in PATH; no shell
  bool pipe_stdin = false;             // else /dev/null
  bool pipe_stdout = true;             // else this process's
  bool pipe_stderr = false;            // else this process's
  // It outlives a Ctrl-C that is meant for us (it may be needed to tidy up). Goes through sh: a
  // program that does not exist then ends with exit status 127 instead of an Error.
  bool ignore_interrupt = false;
  // The same for programs that take the signal although it is ignored (Go's): a process group of
  // its own, which a terminal's Ctrl-C does not reach. Such a program cannot read a terminal.
  bool own_group = false;
  // It gets these under the same numbers, and can open them as /dev/fd/<number>. (Not as
  // /proc/<our number>/fd/<number>: only root sees into a process that leaves no core dumps.)
  std::vector<int> inherited;
  // Added to, or replacing parts of, the environment ("NAME=value").
  std::vector<std::string> environment;
};

// A running program. It inherits no descriptor but those that `inherited` names, and of the
// environment everything but the variables that hold repository passwords. Not thread-safe, except
// `terminate`.
class Subprocess {
 public:
  // Throws Error{kFailed} when the program cannot be started.
  explicit Subprocess(const SubprocessOptions& options);
  // Ends the program if it still runs: closes the pipes, SIGTERM, after two seconds SIGKILL.
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  // From its stdout; 0 at the end. Throws Error.
  [[nodiscard]] size_t read(MutableBytes out);
  // To its stdin. Throws Error (kFailed, EPIPE) when it does not listen any more.
  void write(ByteView bytes);
  void close_stdin() { stdin_.reset(); }
  // Blocks until it ends.
  ExitState wait();
  // Whether it has ended, and how; does not block.
  [[nodiscard]] std::optional<ExitState> poll();
  // Asks it to end (SIGTERM). Thread-safe; does nothing once it has ended.
  void terminate();
  // The same with another signal.
  void signal(int number);

  [[nodiscard]] const std::string& name() const { return name_; }
  // Our ends of the pipes, for callers that poll; -1 where there is none. Owned by this object.
  [[nodiscard]] int stdin_fd() const { return stdin_.get(); }
  [[nodiscard]] int stdout_fd() const { return stdout_.get(); }
  [[nodiscard]] int stderr_fd() const { return stderr_.get(); }

 private:
  [[nodiscard]] bool poll_exit(int flags);

  std::string name_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;  // stays valid when the number is reused
  UniqueFd stdin_;
  UniqueFd stdout_;
  UniqueFd stderr_;
  std::optional<ExitState> exit_;
};

}  // namespace salvor
