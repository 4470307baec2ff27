#include <algorithm>
#include <thread>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository_access.h"
#include "cli/snapshot_options.h"
#include "engine/replicator.h"

namespace salvor::cli {
namespace {

struct Options {
  std::vector<std::string> ids;
  FilterOptions filter;
  FromOptions from;
};

// Those of the selection that the target does not have yet.
std::vector<StoredSnapshot> missing_snapshots(Session& session, const SnapshotSelection& selection,
                                              std::span<const StoredSnapshot> target) {
  std::vector<StoredSnapshot> missing;
  for (const StoredSnapshot& stored : selection.snapshots) {
    if (const StoredSnapshot* copy = find_copy(target, stored)) {
      session.terminal.message_at(2, "\n" + snapshot_text(stored));
      session.terminal.message_at(2, "skipping source snapshot " + stored.id.short_hex() +
                                         ", was already copied to snapshot " +
                                         copy->id.short_hex());
    } else {
      missing.push_back(stored);
    }
  }
  return missing;
}

void warn_of_chunking(Session& session, const Repository& source, const Repository& target) {
  if (source.config().chunker_polynomial != target.config().chunker_polynomial) {
    session.terminal.warn(
        "the repositories cut files at different places, so what is copied does not deduplicate "
        "with what is backed up to the destination itself",
        "Make the destination with `salvor init --from-repo ... --copy-chunker-params`.");
  }
}

void tell_saved(Session& session, const StoredSnapshot& stored, const SnapshotId& id) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("copied").field("source_snapshot_id", stored.id.hex());
    session.terminal.print_json(json.field("snapshot_id", id.hex()).end_object());
  } else {
    session.terminal.print_summary("snapshot " + id.short_hex() +
                                   " saved, copied from source snapshot " + stored.id.short_hex());
  }
}

int run(const Options& options, Session& session) {
  const OpenedRepository source = open_from_repository(session, options.from);
  const OpenedRepository opened = open_repository(session, {.no_lock = NoLock::kIgnored});
  // Stops when either lock is lost.
  std::stop_source stop;
  const std::stop_callback from_source(source.context.stop, [&stop] { stop.request_stop(); });
  const std::stop_callback from_target(opened.context.stop, [&stop] { stop.request_stop(); });
  const Context context = opened.context.with_stop(stop.get_token());

  warn_of_chunking(session, *source.repository, *opened.repository);
  std::vector<UnreadableObject> unreadable;
  const SnapshotSelection selection = select_snapshots(context, *source.repository, options.ids,
                                                       options.filter.filter(), &unreadable);
  report_ignored(session, selection);
  const SnapshotSelection copied =
      select_snapshots(context, *opened.repository, {}, options.filter.filter(), &unreadable);
  report_unreadable(session, unreadable);
  const std::vector<StoredSnapshot> missing =
      missing_snapshots(session, selection, copied.snapshots);

  size_t saved = 0;
  if (!missing.empty()) {
    source.repository->load_index(context);
    opened.repository->load_index(context);
    CopyOptions copy{.threads = std::max(1U, std::thread::hardware_concurrency()),
                     .write = write_options(session.global)};
    copy.write.confirm_lock = [&](const Context& under) {
      source.confirm_lock(under);
      opened.confirm_lock(under);
    };
    copy.on_start = [&](const StoredSnapshot& stored) {
      session.terminal.print_summary("\n" + snapshot_text(stored));
      session.terminal.print_summary("  copy started, this may take a while...");
      session.terminal.flush();
    };
    copy.on_planned = [&](const StoredSnapshot&, uint64_t blobs, uint64_t bytes) {
      session.terminal.message_at(
          2, "  copy " + std::to_string(blobs) + " blobs with disk size " + format_bytes(bytes));
    };
    copy.on_saved = [&](const StoredSnapshot& stored, const SnapshotId& id) {
      tell_saved(session, stored, id);
      ++saved;
    };
    run_under_lock(session, source, [&] {
      run_under_lock(session, opened, [&] {
        Replicator(context, *source.repository, *opened.repository, copy).copy(missing);
      });
    });
  }
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("copied_snapshots", saved);
    json.field("skipped_snapshots", selection.snapshots.size() - missing.size()).end_object();
    session.terminal.print_json(json);
  }
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
  add_options(command, from_option_table(options->from, "to copy snapshots from"));
  add_options(command, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
