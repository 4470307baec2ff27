#include "cli/commands.h"
#include "cli/repository/snapshot_copy.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"

namespace salvor::cli {
namespace {

struct Options {
  std::vector<std::string> ids;
  FilterOptions filter;
  FromOptions from;
};

int run(const Options& options, Session& session) {
  const OpenedRepository source = open_from_repository(session, options.from);
  const OpenedRepository opened = open_repository(session, {.no_lock = NoLock::kIgnored});
  // Stops when either lock is lost.
  std::stop_source stop;
  const std::stop_callback from_source(source.context.stop, [&stop] { stop.request_stop(); });
  const std::stop_callback from_target(opened.context.stop, [&stop] { stop.request_stop(); });
  const Context context = opened.context.with_stop(stop.get_token());

  const CopyParties parties{.context = context,
                            .source = *source.repository,
                            .target = *opened.repository,
                            .confirm_locks = [&](const Context& under) {
                              source.confirm_lock(under);
                              opened.confirm_lock(under);
                            }};
  copy_missing_snapshots(session, parties, options.ids, options.filter.filter());
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

}  // namespace

CommandSpec copy_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "copy",
      .summary = "Copy snapshots from one repository to another",
      .description =
          "Copies snapshots from the repository --from-repo to the repository --repo. Only what "
          "the destination lacks is read and stored, under the destination's own key. Snapshots "
          "that were copied before are skipped, and an interrupted copy goes on where it was: "
          "run it again.\n\n"
          "Of PostgreSQL clusters with a physical backup in the destination, the archived log is "
          "brought along, from the oldest such backup on: any point in time can be recovered from "
          "the copy too.\n\n"
          "Files are not cut into new pieces. For copies to deduplicate with backups that go to "
          "the destination directly, make it with `salvor init --copy-chunker-params`.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "ids or unambiguous beginnings of ids, or \"latest\"",
                       .maximum = kUnlimited}},
      .options = {},
      .examples = {{"salvor copy -r /mnt/second --from-repo /srv/backup",
                    "Bring a second repository up to date"},
                   {"salvor copy -r /mnt/second --from-repo /srv/backup latest --host db1",
                    "Only the newest snapshot of one host"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{3, "a snapshot could not be read; the others were copied"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, from_option_table(options->from, "to copy snapshots from"));
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
