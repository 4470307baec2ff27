#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/repair_options.h"
#include "cli/repository/snapshot_options.h"

namespace salvor::cli {
namespace {

struct IndexOptions {
  bool read_all_packs = false;
};

struct PacksOptions {
  std::vector<std::string> packs;
};

struct SnapshotsOptions {
  std::vector<std::string> ids;
  FilterOptions filter;
  bool dry_run = false;
  bool forget = false;
};

template <class Id>
void print_each(Terminal& terminal, const char* what, const std::vector<Id>& ids) {
  for (const Id& id : ids) {
    terminal.message(std::string(what) + " " + id.hex());
  }
}

// --- index ---------------------------------------------------------------------------------------

int run_index(const IndexOptions& options, Session& session) {
  OpenedRepository opened = open_repository(
      session, {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored, .cache = false});
  const IndexRepair report =
      repair_index(opened.context, *opened.repository, options.read_all_packs,
                   repair_options(session.global, opened));
  Terminal& terminal = session.terminal;
  print_each(terminal, "removed invalid index", report.unreadable_files);
  print_each(terminal, "added pack to the index:", report.added);
  print_each(terminal, "corrected pack in the index:", report.reread);
  print_each(terminal, "took missing pack out of the index:", report.missing);
  for (const PackId& pack : report.unreadable_packs) {
    terminal.warn("pack " + pack.hex() + " has no readable header",
                  "Run `salvor repair packs " + pack.hex() + "` to save what is left of it.");
  }
  if (terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("index_files_removed", report.index_files_removed);
    json.field("invalid_index_files", report.unreadable_files.size());
    json.field("packs_read", report.packs_read).field("packs_added", report.added.size());
    json.field("packs_corrected", report.reread.size());
    json.field("packs_missing", report.missing.size());
    json.field("packs_unreadable", report.unreadable_packs.size()).end_object();
    terminal.print_json(json);
  } else {
    terminal.print_summary(report.changed() ? "done" : "done: the index was right already");
  }
  return 0;
}

// --- packs ---------------------------------------------------------------------------------------

// Nothing when there is no such pack: then nothing can be lost with it either.
std::optional<Buffer> load_pack(const OpenedRepository& opened, const PackId& pack) {
  try {
    return opened.repository->storage().get(opened.context, pack_object(pack));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) {
      return std::nullopt;
    }
    throw Error(error.code(), "no copy of pack " + pack.hex() + " can be kept: " + error.message(),
                "Nothing was changed. If the disk cannot read all of it any more, save what can be "
                "read (with ddrescue, for example), put that in its place, and try again.");
  }
}

// A copy in the current directory, as restic makes one: the repair removes the original.
void keep_copy(const OpenedRepository& opened, Terminal& terminal, const PackId& pack) {
  const std::optional<Buffer> loaded = load_pack(opened, pack);
  if (!loaded) {
    terminal.warn("pack " + pack.hex() + " is not there, so that no copy of it can be kept");
    return;
  }
  const Buffer& bytes = *loaded;
  const std::string name = "pack-" + pack.hex();
  UniqueFd file(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file && errno == EEXIST &&
      as_text(read_file(name, UINT64_MAX).view()) == as_text(bytes.view())) {
    return;  // kept by an interrupted run
  }
  if (!file) {
    throw Error::from_errno(errno, "cannot make " + name +
                                       " in the current directory, where a copy of the pack is to "
                                       "be kept");
  }
  write_full(file.get(), bytes.view(), name);
  if (::fsync(file.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + name);
  }
  file.close(name);
  terminal.message("saved a copy of the pack as " + name);
}

int run_packs(const PacksOptions& options, Session& session) {
  std::vector<PackId> packs;
  for (const std::string& text : options.packs) {
    const std::optional<PackId> pack = PackId::parse(text);
    if (!pack) {
      throw Error(ErrorCode::kUsage, "\"" + text + "\" is not the id of a pack",
                  "Give all 64 digits, as `salvor check` prints them.");
    }
    packs.push_back(*pack);
  }
  OpenedRepository opened = open_repository(
      session, {.lock = LockMode::kExclusive, .no_lock = NoLock::kIgnored, .cache = false});
  Terminal& terminal = session.terminal;
  for (const PackId& pack : packs) {
    keep_copy(opened, terminal, pack);
  }
  const PackRepair report = repair_packs(opened.context, *opened.repository, packs,
                                         repair_options(session.global, opened));
  for (const BlobHandle& blob : report.lost) {
    terminal.message(std::string("lost ") + (blob.type == BlobType::kTree ? "tree" : "data") +
                     " blob " + blob.id.hex());
  }
  if (terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("blobs_saved", report.blobs_saved);
    json.field("blobs_lost", report.lost.size());
    terminal.print_json(json.field("packs_removed", report.packs_removed).end_object());
    return 0;
  }
  terminal.print_summary("saved " + std::to_string(report.blobs_saved) + " blobs, lost " +
                         std::to_string(report.lost.size()) + ", removed " +
                         std::to_string(report.packs_removed) + " packs");
  if (!report.lost.empty()) {
    terminal.print_summary(
        "\nBack the affected files up again if they still exist: that heals the snapshots. Then "
        "use `salvor repair snapshots --forget` to remove what is lost from all snapshots.");
  }
  return 0;
}

// --- snapshots -----------------------------------------------------------------------------------

void print_snapshot(Terminal& terminal, const StoredSnapshot& stored, const SnapshotRepair& repair,
                    bool dry_run) {
  if (terminal.json()) {
    JsonWriter json;
    json.begin_message("snapshot").field("old_snapshot_id", stored.id.hex());
    json.key("new_snapshot_id");
    repair.new_id ? json.value(repair.new_id->hex()) : json.null();
    json.field("root_lost", repair.root_lost).field("removed", repair.removed);
    json.field("changes", repair.changes);
    json.field("changes_not_listed", repair.changes_not_listed).end_object();
    terminal.print_json(json);
    return;
  }
  terminal.print_summary(
      "\nsnapshot " + stored.id.short_hex() + " of " + local_time_text(stored.snapshot.time) +
      " by " + printable(stored.snapshot.username) + "@" + printable(stored.snapshot.hostname));
  for (const std::string& change : repair.changes) {
    terminal.print_summary("  " + printable(change));
  }
  if (repair.changes_not_listed > 0) {
    terminal.print_summary("  and " + std::to_string(repair.changes_not_listed) + " more");
  }
  if (repair.root_lost) {
    terminal.print_summary(repair.removed ? "  its root directory is lost: removed"
                                          : "  its root directory is lost: only --forget can "
                                            "remove it");
  } else if (dry_run && repair.damaged()) {
    terminal.print_summary("would save new snapshot");
  } else if (repair.new_id) {
    terminal.print_summary("saved new snapshot " + repair.new_id->short_hex());
    if (repair.removed) {
      terminal.print_summary("removed old snapshot " + stored.id.short_hex());
    }
  }
}

int run_snapshots(const SnapshotsOptions& options, Session& session) {
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kExclusive,
                                .no_lock = options.dry_run ? NoLock::kHonoured : NoLock::kIgnored,
                                .cache = false});
  opened.repository->load_index(opened.context);
  std::vector<UnreadableObject> unreadable;
  const SnapshotSelection selection = select_snapshots(
      opened.context, *opened.repository, options.ids, options.filter.filter(), &unreadable);
  report_unreadable(session, unreadable);
  report_ignored(session, selection);
  const std::vector<SnapshotRepair> repairs =
      repair_snapshots(opened.context, *opened.repository, selection.snapshots,
                       {.repair = repair_options(session.global, opened),
                        .dry_run = options.dry_run,
                        .forget = options.forget});
  const int status = unreadable.empty() ? 0 : exit_status(ErrorCode::kIncomplete);
  Terminal& terminal = session.terminal;
  size_t modified = 0;
  for (size_t i = 0; i < repairs.size(); ++i) {
    if (repairs[i].damaged()) {
      ++modified;
      print_snapshot(terminal, selection.snapshots[i], repairs[i], options.dry_run);
    }
  }
  if (terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("snapshots", repairs.size());
    terminal.print_json(json.field("modified", modified).end_object());
    return status;
  }
  const std::string would = options.dry_run ? "would be modified" : "were modified";
  terminal.print_summary(modified == 0
                             ? "\nno snapshots " + would
                             : "\n" + std::string(options.dry_run ? "would modify " : "modified ") +
                                   std::to_string(modified) + " snapshots");
  return status;
}

// --- the table -----------------------------------------------------------------------------------

CommandSpec index_command() {
  auto options = std::make_shared<IndexOptions>();
  return {
      .name = "index",
      .summary = "Build a new index",
      .description =
          "Makes the index agree with the packs that are stored: packs that no index lists are "
          "read "
          "and added, packs that are gone are taken out, damaged index files are replaced. The old "
          "index files go only when the new ones are durable.",
      .options = {{.long_name = "read-all-packs",
                   .help = "read all pack files to generate new index from scratch",
                   .target = &options->read_all_packs}},
      .examples = {{"salvor repair index", "After `salvor check` asked for it"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run_index(*options, session); },
  };
}

CommandSpec packs_command() {
  auto options = std::make_shared<PacksOptions>();
  return {
      .name = "packs",
      .summary = "Salvage damaged pack files",
      .description =
          "Copies every blob that still verifies out of the named packs into new ones, then takes "
          "the damaged packs out of the index and removes them. A copy of each is kept in the "
          "current directory.",
      .positionals = {{.name = "packIDs",
                       .target = &options->packs,
                       .help = "full ids of the packs, from `salvor check --read-data`",
                       .minimum = 1,
                       .maximum = kUnlimited}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run_packs(*options, session); },
  };
}

CommandSpec snapshots_command_of_repair() {
  auto options = std::make_shared<SnapshotsOptions>();
  CommandSpec command{
      .name = "snapshots",
      .summary = "Repair snapshots",
      .description =
          "Makes new snapshots without what is missing or cannot be read: files lose the missing "
          "content, directories that are lost become empty. The old snapshots stay unless --forget "
          "is given.\n\n"
          "WARNING: with --forget what is lost stays lost. When the files still exist, backing "
          "them "
          "up again is better: that heals the old snapshots. Run \"salvor repair index\" first.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "only these snapshots",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "dry-run",
                   .short_name = 'n',
                   .help = "do not do anything, just print what would be done",
                   .target = &options->dry_run},
                  {.long_name = "forget",
                   .help = "remove original snapshots after creating new ones",
                   .target = &options->forget}},
      .examples = {{"salvor repair snapshots --dry-run", "What is lost"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes,
          {{3, "one or more snapshots cannot be read; only `salvor forget` can remove them"}}),
      .run = [options](Session& session) { return run_snapshots(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace

CommandSpec repair_command() {
  return {
      .name = "repair",
      .summary = "Repair the repository",
      .description =
          "Repairs damaged repositories. Nothing is changed in place: new objects are "
          "stored beside the old ones, which go last. Make a copy of the repository "
          "first all the same.",
      .exit_codes = kRepositoryExitCodes,
      .commands = {index_command(), packs_command(), snapshots_command_of_repair()},
  };
}

CommandSpec rebuild_index_command() {
  CommandSpec command = index_command();
  command.name = "rebuild-index";
  command.hidden = true;
  return command;
}

}  // namespace salvor::cli
