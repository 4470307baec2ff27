#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/app.h"
#include "cli/signals.h"

namespace {

// Keys and passwords must not end up in a core file. SALVOR_DEBUG_CORE=1 allows them, for
// developers.
void forbid_core_dumps(const salvor::cli::Environment& environment) {
  if (environment.get("SALVOR_DEBUG_CORE") == "1") {
    return;
  }
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

// Whoever starts us with one of them closed (">&-") expects nothing from it. The next file that is
// opened would get its number, though, and the messages with it: a connection, a lock, or the pipe
// that tells of Ctrl-C, which would block for good once it is full.
void open_missing_standard_files() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) {
      (void)::open("/dev/null", O_RDWR);  // gets the lowest number that is free: this one
    }
  }
}

// Packs and pieces of files (megabytes each) come and go on several threads. glibc would soon keep
// them in its arenas, where they fragment; mapped one by one they go back to the system at once.
void return_large_blocks_to_system() {
  constexpr int kMappedFrom = 1 << 20;
  constexpr int kArenas = 4;
  ::mallopt(M_MMAP_THRESHOLD, kMappedFrom);
  ::mallopt(M_ARENA_MAX, kArenas);
}

int run(int argc, char** argv) {
  using namespace salvor::cli;
  open_missing_standard_files();
  const Environment environment = Environment::take_from_process();
  forbid_core_dumps(environment);
  return_large_blocks_to_system();
  Terminal terminal(terminal_settings(environment));
  Interrupts interrupts([&] { terminal.message("stopping; press Ctrl-C again to quit at once"); });
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  return run_salvor(arguments, environment, terminal, interrupts.stop_token());
}

}  // namespace

// run_salvor shows its errors itself. What is left is a machine that has not even the memory, or
// the thread, to begin or to end with: said without asking for more of either.
int main(int argc, char** argv) {
  const auto die = [](std::string_view message) {
    return ::write(STDERR_FILENO, message.data(), message.size()) < 0 ? 2 : 1;
  };
  constexpr std::string_view kNothingLeft =
      "salvor: not enough memory or threads to run\n"
      "HINT: Free some, or raise the limits of this user (ulimit -v, ulimit -u).\n";
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    return die(kNothingLeft);
  } catch (const std::system_error&) {  // a thread that could not be started
    return die(kNothingLeft);
  }
}
