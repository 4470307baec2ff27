// What a command is: plain data. One table per command drives parsing, --help, the man pages, the
// shell completion and the reference in docs/.
//
// How to write a command
// ----------------------
// 1. Make src/cli/<name>_command.cc with one factory, `CommandSpec <name>_command()`:
//
//      namespace salvor::cli {
//      namespace {
//      struct Options {
//        std::vector<std::string> ids;
//        bool compact = false;
//        std::optional<uint64_t> latest;
//      };
//      int run(const Options& options, Session& session) {
//        auto opened = open_repository(session, LockMode::kShared);       // repository_access.h
//        ... opened.repository, opened.context (its token also fires when the lock is lost)
//        session.terminal.print_line("...");                              // results: stdout
//        return 0;                       // or exit_status(ErrorCode::kIncomplete); errors: throw
//        Error
//      }
//      }  // namespace
//
//      CommandSpec snapshots_command() {
//        auto options = std::make_shared<Options>();  // shared: the table and `run` both refer to
//        it return {
//            .name = "snapshots",
//            .summary = "List all snapshots",                             // one line, no full stop
//            .description = "Lists ...\n\nSecond paragraph.",             // teaches; wrapped by us
//            .positionals = {{.name = "snapshotID", .target = &options->ids, .help = "...",
//                             .minimum = 0, .maximum = kUnlimited}},
//            .options = {
//                {.long_name = "compact", .short_name = 'c', .help = "use compact output format",
//                 .target = &options->compact},
//                {.long_name = "latest", .value_name = "n", .help = "...", .target =
//                &options->latest},
//            },
//            .examples = {{"salvor snapshots --tag nightly", "Only the nightly ones"}},
//            .exit_codes = kRepositoryExitCodes,
//            .run = [options](Session& session) { return run(*options, session); },
//        };
//      }
//      }  // namespace salvor::cli
//
// 2. Add it to the list in commands.h and commands.cc. That is all: CMake finds the file.
// 3. Add a scenario (tests/scenarios/*.scn) that shows what a user sees.
//
// The type of the bound field decides how an option is parsed:
//   bool                      flag; "--x", also "--x=true|false"
//   Counter                   "-v -v", "-vv", "--verbose=2"
//   std::string               text (with `choices`: one of them); optional<string>: knows "not
//   given" std::vector<std::string>  may be repeated, one value each time (commas are not split)
//   uint64_t, optional<...>   decimal number
//   Size, optional<Size>      "512k", "16M", "1.5G": bytes
//   Duration, optional<...>   Go's form: "5m", "1h30m", "250ms"
// The field's initial value is the default. Option names and meanings are restic's where restic has
// them. A group's sub-commands go into `commands`; such a command has no `run` of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace salvor::cli {

struct Session;

struct Counter {
  int value = 0;
};
struct Size {
  uint64_t bytes = 0;
};
using Duration = std::chrono::nanoseconds;

using OptionTarget = std::variant<bool*, Counter*, std::string*, std::optional<std::string>*,
                                  std::vector<std::string>*, uint64_t*, std::optional<uint64_t>*,
                                  Size*, std::optional<Size>*, Duration*, std::optional<Duration>*>;

// What shell completion offers for a value.
enum class ValueHint : uint8_t { kNone, kFile, kDirectory };

struct OptionSpec {
  std::string long_name;   // without dashes; never empty
  char short_name = '\0';  // '\0': none
  std::string value_name;  // "file"; empty for flags and counters
  std::string help;        // lower case, no full stop; the default and the environment are added
  OptionTarget target;
  // Names without prefix: {"REPOSITORY"} is read from SALVOR_REPOSITORY, else RESTIC_REPOSITORY.
  // Used when the option is not on the command line; an empty variable counts as unset.
  std::string environment = {};
  std::vector<std::string> choices = {};
  std::string default_text = {};  // shown as "(default ...)"
  ValueHint hint = ValueHint::kNone;
  bool hidden = false;       // accepted, not shown
  std::string heading = {};  // options with one stand in a section of that name after "Flags"
  // Options of one group exclude each other; one on the command line silences the environment of
  // the whole group.
  std::string exclusive_group = {};
};

inline constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

struct PositionalSpec {
  std::string name;
  std::variant<std::string*, std::optional<std::string>*, std::vector<std::string>*> target;
  std::string help = {};
  size_t minimum = 0;
  size_t maximum = 1;
  ValueHint hint = ValueHint::kNone;
  std::vector<std::string> choices = {};
};

struct Example {
  std::string command;
  std::string explanation;  // a phrase, no full stop
};

struct ExitCodeNote {
  int code;
  std::string meaning;
};
// What every command that opens a repository may end with.
extern const std::vector<ExitCodeNote> kRepositoryExitCodes;
// `base` with the meaning of some codes replaced or added, sorted.
[[nodiscard]] std::vector<ExitCodeNote> with_exit_codes(std::vector<ExitCodeNote> base,
                                                        const std::vector<ExitCodeNote>& more);

struct CommandSpec {
  std::string name;
  std::string summary;
  std::string description = {};  // paragraphs apart by an empty line; indented lines are kept as is
  std::vector<PositionalSpec> positionals = {};
  std::vector<OptionSpec> options = {};
  std::vector<Example> examples = {};
  std::vector<ExitCodeNote> exit_codes = {{0, "success"}, {1, "an error"}, {64, "wrong usage"}};
  std::vector<CommandSpec> commands = {};
  std::string heading = {};  // section of the command list; empty: "Available Commands"
  bool hidden = false;
  std::vector<std::string> aliases = {};
  // Other than 0: every failure ends with this status, wrong usage included. For programs that give
  // small statuses a meaning of their own.
  int failure_status = 0;
  // Returns the exit status; throws Error. Empty for groups.
  std::function<int(Session&)> run = {};
};

// Appends a table that several commands share.
void add_options(std::vector<OptionSpec>& options, std::vector<OptionSpec> more);

[[nodiscard]] bool takes_value(const OptionSpec& option);
[[nodiscard]] bool is_repeatable(const OptionSpec& option);  // lists and counters
// Both names of the variable, ours first.
[[nodiscard]] std::vector<std::string> environment_names(const OptionSpec& option);
// nullptr when there is none of that name or alias.
[[nodiscard]] const CommandSpec* find_command(const CommandSpec& group, std::string_view name);

// Converts and stores one value; throws Error{kUsage} naming the option. For lists it appends.
void assign(const OptionSpec& option, std::string_view value);

// Go's time.ParseDuration: "1h30m", "250ms", "0". Nothing when malformed or above 290 years.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);

}  // namespace salvor::cli
