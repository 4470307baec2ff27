#include "cli/app.h"

#include <algorithm>
#include <new>

#include "cli/application/configured_repository.h"
#include "cli/command_audit.h"
#include "cli/commands.h"
#include "cli/held_locks.h"
#include "cli/help.h"
#include "cli/parser.h"
#include "cli/session.h"

namespace salvor::cli {

namespace {

// As a shell reports a process that SIGPIPE ended.
constexpr int kOutputClosedStatus = 141;

// Errors on the command line come before --json is known from parsing; scripts want JSON all the
// same.
bool asks_for_json(std::span<const std::string> arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::find(arguments.begin(), end, "--json") != end;
}

// The run, and how it ended for the audit trail.
int run_and_record(const CommandSpec& command, Session& session) {
  try {
    const int status = command.run(session);
    if (session.audit != nullptr) {
      session.audit->ended(session, status);
    }
    return status;
  } catch (const Error& failed) {
    const Error error = session.locks.told(failed, session.context.stop);
    if (session.audit != nullptr) {
      session.audit->ended(session, exit_status(error.code()), &error);
    }
    throw Error(error);
  }
}

int dispatch(std::span<const std::string> arguments, const Environment& environment,
             Terminal& terminal, const std::stop_token& stop) {
  GlobalOptions global;
  const CommandSpec root = command_table(global);
  const ParsedCommand parsed = parse_command_line(root, arguments, environment);
  if (parsed.help) {
    terminal.print(render_help(parsed.path, terminal.columns()));
    terminal.flush();
    return 0;
  }
  check_global_options(global);
  terminal.set_output_mode(global.json, global.verbosity());
  if (global.no_extra_verify) {
    terminal.warn("--no-extra-verify has no effect",
                  "Salvor verifies all that it writes; it costs little and has caught bad memory.");
  }
  EventPrinter events(terminal);
  const SystemClock clock;
  SystemRandom random;
  Profile profile;
  const Context context{stop, events, clock, random, global.profile ? &profile : nullptr};
  RequestCounts requests;
  const auto audit = CommandAudit::of_command(global, environment, parsed.path);
  HeldLocks locks;
  Session session{global, environment, terminal, events,     context,
                  root,   requests,    locks,    audit.get()};
  ConfiguredRepositories configured(session);
  session.configured = &configured;
  const CommandSpec& command = parsed.version ? *find_command(root, "version") : parsed.command();
  const int status = run_and_record(command, session);
  terminal.clear_status();
  if (global.profile) {
    terminal.prompt(profile.report());
  }
  terminal.flush();
  return status;
}

// The command's own status for failures, if it has one; also when the rest of the line is wrong.
std::optional<int> failure_status(std::span<const std::string> arguments) {
  GlobalOptions global;
  const CommandSpec root = command_table(global);
  const CommandSpec* command = &root;
  for (const std::string& argument : arguments) {
    if (const CommandSpec* found = find_command(*command, argument)) {
      command = found;
    }
  }
  return command->failure_status != 0 ? std::optional(command->failure_status) : std::nullopt;
}

}  // namespace

int run_salvor(std::span<const std::string> arguments, const Environment& environment,
               Terminal& terminal, const std::stop_token& stop) {
  terminal.set_output_mode(asks_for_json(arguments), 1);
  try {
    return dispatch(arguments, environment, terminal, stop);
  } catch (const Error& error) {
    terminal.clear_status();
    if (terminal.output_closed()) {
      return kOutputClosedStatus;
    }
    const int status = failure_status(arguments).value_or(exit_status(error.code()));
    terminal.report(error, status);
    return status;
  } catch (const std::bad_alloc&) {
    terminal.clear_status();
    terminal.report(Error(ErrorCode::kFailed, "out of memory",
                          "Free some memory, or lower --pack-size and --read-concurrency."),
                    1);
    return failure_status(arguments).value_or(1);
  } catch (const std::exception& error) {
    terminal.clear_status();
    terminal.report(Error(ErrorCode::kFailed, std::string("internal error: ") + error.what(),
                          "This is a bug in Salvor; please report it with the command line."),
                    1);
    return failure_status(arguments).value_or(1);
  }
}

}  // namespace salvor::cli
