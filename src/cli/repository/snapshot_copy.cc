#include "cli/repository/snapshot_copy.h"

#include <algorithm>
#include <thread>

#include "base/format.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/copies/replicator.h"
#include "engine/postgres/wal_copy.h"

namespace salvor::cli {
namespace {

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

// PostgreSQL's, so that any point in time can be reached from the copy too.
WalCopied copy_logs(Session& session, const CopyParties& parties) {
  WalCopyOptions options{.confirm_lock = parties.confirm_locks};
  options.on_planned = [&](uint64_t system, size_t objects, uint64_t bytes) {
    session.terminal.print_summary(
        "copying " + std::to_string(objects) + (objects == 1 ? " file" : " files") + " (" +
        format_bytes(bytes) + ") of the log of PostgreSQL cluster " + std::to_string(system));
    session.terminal.flush();
  };
  return copy_wal(parties.context, parties.source, parties.target, options);
}

}  // namespace

void copy_missing_snapshots(Session& session, const CopyParties& parties,
                            const std::vector<std::string>& ids, const SnapshotFilter& filter) {
  warn_of_chunking(session, parties.source, parties.target);
  std::vector<UnreadableObject> unreadable;
  const SnapshotSelection selection =
      select_snapshots(parties.context, parties.source, ids, filter, &unreadable);
  report_ignored(session, selection);
  const SnapshotSelection copied =
      select_snapshots(parties.context, parties.target, {}, filter, &unreadable);
  report_unreadable(session, unreadable);
  const std::vector<StoredSnapshot> missing =
      missing_snapshots(session, selection, copied.snapshots);

  size_t saved = 0;
  std::vector<SourceDamaged> lost;
  if (!missing.empty()) {
    parties.source.load_index(parties.context);
    parties.target.load_index(parties.context);
    CopyOptions copy{.threads = std::max(1U, std::thread::hardware_concurrency()),
                     .write = write_options(session.global)};
    copy.write.confirm_lock = parties.confirm_locks;
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
    lost = copy_what_is_whole(parties.context, parties.source, parties.target, copy, missing);
    for (const SourceDamaged& one : lost) {
      session.events.on(ItemFailed{.operation = "copy",
                                   .item = "snapshot " + one.snapshot.short_hex(),
                                   .message = one.message(),
                                   .hint = one.hint()});
    }
  }
  const WalCopied log = copy_logs(session, parties);
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("copied_snapshots", saved);
    json.field("skipped_snapshots", selection.snapshots.size() - missing.size());
    json.field("copied_log_files", log.objects).end_object();
    session.terminal.print_json(json);
  }
  if (!lost.empty()) {
    throw not_all_copied(lost, missing.size());
  }
}

}  // namespace salvor::cli
