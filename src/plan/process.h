// Commands of steps: in a process group of their own, limited in time and output, and so that a
// later process can learn how one ended that was begun before a crash.
//
// The command runs below a small shell that writes its exit status to a file (synced, renamed) once
// it has ended, and that holds a lock while it waits. If Salvor is killed, the command goes on; the
// next Salvor sees by the lock that it still runs and waits, or reads the status. Only when the
// shell dies too (the machine went down) nothing is known.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "net/subprocess.h"

namespace salvor::plan {

struct CommandOrder {
  std::vector<std::string> arguments;    // [0] is looked up in PATH; no shell
  std::vector<std::string> environment;  // "NAME=value", added
  std::string directory;                 // empty: ours
  std::string input;                     // to its stdin; empty: /dev/null
  // Of `environment`, what only this command's processes have: at the end of a command that is
  // stopped, those that have left its process group are found by it.
  std::vector<std::string> marks;
  std::filesystem::path files;  // "<files>.status" and "<files>.lock"; empty: not kept
  // Of the output the beginning is kept, of the errors the end; more is read and dropped.
  uint64_t output_limit_bytes = uint64_t{256} << 10;
};

struct CommandOutcome {
  ExitState exit;
  std::string output;
  std::string errors;
  bool cut = false;
};

// Blocks until it ends. When the context is stopped the whole group is ended (SIGTERM, SIGKILL
// after five seconds), then what carries all `marks` wherever it went, and Error{kCancelled}
// thrown. What it leaves running in the background, with its output, is not waited for.
[[nodiscard]] CommandOutcome run_command(const Context& context, const CommandOrder& order);

// How the command with these files ended that a dead process had begun; waits while it still runs.
// Nothing when nobody knows.
[[nodiscard]] std::optional<ExitState> earlier_outcome(const Context& context,
                                                       const std::filesystem::path& files);

// Whether the command with these files was begun; to be asked after `earlier_outcome`, which waits
// until that is decided. Holds only as long as the machine stays up: the mark is not synced.
[[nodiscard]] bool was_started(const std::filesystem::path& files);

// Processes in whose environment all of `entries` ("NAME=value", or with `prefix` its beginning)
// stand, but this one. Sees only what this user may look into.
[[nodiscard]] std::vector<int> processes_marked(const std::vector<std::string>& entries,
                                                bool prefix = false);
// Ends them: SIGTERM, after two seconds SIGKILL. Never throws.
void end_marked(const std::vector<std::string>& entries, bool prefix = false);

// Whether PATH (or a path itself) names a program.
[[nodiscard]] bool program_exists(const std::string& program);

}  // namespace salvor::plan
