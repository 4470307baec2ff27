#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"

namespace salvor::cli {

namespace {

struct Options {
  bool remove_all = false;
};

// What stays and why, so that nobody has to guess whether --remove-all is safe.
void explain_remaining(Session& session, const OpenedRepository& opened) {
  std::vector<std::string> unreadable;
  for (const StoredLock& lock : list_locks(opened.context, *opened.repository, &unreadable)) {
    const LockDocument& document = lock.document;
    session.terminal.message("lock " + lock.id.short_hex() +
                             " stays: " + (document.exclusive ? "exclusive" : "shared") +
                             ", process " + std::to_string(document.pid) + " of " +
                             printable(document.username) + " on " + printable(document.hostname) +
                             ", last refreshed " + local_time_text(document.time));
  }
  if (!unreadable.empty()) {
    session.terminal.warn(std::to_string(unreadable.size()) + " locks cannot be read",
                          "If nobody works on the repository, \"salvor unlock --remove-all\" "
                          "removes them.");
  }
}

int run(const Options& options, Session& session) {
  const OpenedRepository opened = open_repository(session, {LockMode::kNone});
  const size_t removed = remove_locks(opened.context, *opened.repository, options.remove_all);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("removed_locks", removed).end_object();
    session.terminal.print_json(json);
    return 0;
  }
  if (removed > 0) {
    session.terminal.print_summary("successfully removed " + std::to_string(removed) + " locks");
  }
  explain_remaining(session, opened);
  return 0;
}

}  // namespace

CommandSpec unlock_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "unlock",
      .summary = "Remove locks other processes created",
      .description =
          "Removes stale locks: those that were not refreshed for 30 minutes, or whose process on "
          "this host "
          "is gone. A lock that a crashed or killed process left behind keeps others from working "
          "on the "
          "repository until this is done.\n\nLocks that are not stale stay, and the command says "
          "whose "
          "they are. With --remove-all they go too: do that only when you are sure that nobody is "
          "working on the repository, on any host.",
      .options = {{.long_name = "remove-all",
                   .help = "remove all locks, even non-stale ones",
                   .target = &options->remove_all}},
      .examples = {{"salvor unlock", "After a crash, or when a command ended with status 11"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
