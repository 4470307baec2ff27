#include <unistd.h>

#include "cli/commands.h"
#include "cli/repository/repair_options.h"
#include "engine/maintenance/recoverer.h"

namespace salvor::cli {
namespace {

RecoverOptions recover_options(Session& session, const OpenedRepository& opened) {
  RecoverOptions options{.repair = repair_options(session.global, opened), .snapshot = {}};
  LocalZone zone;
  options.snapshot.time = zone.stamp(session.context.clock.now());
  options.snapshot.hostname = current_host_name();
  options.snapshot.username = current_user_name();
  options.snapshot.uid = getuid();
  options.snapshot.gid = getgid();
  options.snapshot.program_version = "salvor " SALVOR_VERSION;
  return options;
}

void print(const RecoverResult& result, Terminal& terminal) {
  for (const BlobId& tree : result.unreadable) {
    terminal.warn("tree " + tree.hex() + " cannot be read",
                  "Run `salvor check --read-data` to see what else is damaged.");
  }
  if (terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("roots", result.roots.size());
    json.field("unreadable_trees", result.unreadable.size()).key("snapshot_id");
    result.snapshot ? json.value(result.snapshot->hex()) : json.null();
    terminal.print_json(json.end_object());
    return;
  }
  for (const BlobId& root : result.roots) {
    terminal.message_at(2, "found root tree " + root.short_hex());
  }
  terminal.print_summary("found " + std::to_string(result.roots.size()) + " unreferenced roots");
  terminal.print_summary(result.snapshot ? "saved new snapshot " + result.snapshot->short_hex()
                                         : "no snapshot to write");
}

int run(Session& session) {
  const OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored});
  const RecoverResult result =
      recover(opened.context, *opened.repository, recover_options(session, opened));
  print(result, session.terminal);
  return result.unreadable.empty() ? 0 : exit_status(ErrorCode::kIncomplete);
}

}  // namespace

CommandSpec recover_command() {
  return {
      .name = "recover",
      .summary = "Recover data from the repository not referenced by snapshots",
      .description =
          "Makes a snapshot of all directories in the repository that no snapshot holds: after a "
          "\"forget\" too many, or when snapshots were lost. It has the path /recover and the tag "
          "\"recovered\"; each directory that was at the top of something stands in it under its "
          "short id.\n\n"
          "This works until \"prune\" has removed the data. What interrupted backups have stored "
          "comes back, too.",
      .examples = {{"salvor recover", "After a snapshot was forgotten by mistake"},
                   {"salvor ls latest --tag recovered", "Look at what came back"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{3, "some directories could not be read; the rest is saved"}}),
      .run = [](Session& session) { return run(session); },
  };
}

}  // namespace salvor::cli
