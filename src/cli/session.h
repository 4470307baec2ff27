// What a command gets to work with.
#pragma once

#include "base/context.h"
#include "cli/command.h"
#include "cli/environment.h"
#include "cli/global_options.h"
#include "cli/output/event_printer.h"
#include "cli/output/terminal.h"
#include "storage/decorators/counting_storage.h"

namespace salvor::cli {

class CommandAudit;
class ConfiguredRepositories;
class HeldLocks;

// References that outlive the command's run.
struct Session {
  const GlobalOptions& global;
  const Environment& environment;
  Terminal& terminal;
  EventPrinter& events;           // the sink inside `context`; counts errors
  const Context& context;         // stops on Ctrl-C
  const CommandSpec& root;        // the whole table, for help and completion
  RequestCounts& requests;        // of all storages that the run opens
  HeldLocks& locks;               // on all repositories that it opens
  CommandAudit* audit = nullptr;  // where this run is recorded; may be absent
  // Where a repository comes from that nobody named; absent where one is named for certain.
  ConfiguredRepositories* configured = nullptr;
};

// User and host name for snapshots, keys and locks; "" for a user that has no name. The host
// honours nothing: options such as --host are the command's business.
[[nodiscard]] std::string current_user_name();
[[nodiscard]] std::string current_host_name();

}  // namespace salvor::cli
