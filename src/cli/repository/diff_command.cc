#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/node_text.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/snapshots/differ.h"

namespace salvor::cli {

namespace {

struct Options {
  std::vector<std::string> snapshots;
  bool metadata = false;
};

// A named snapshot, or a folder of it.
struct Side {
  SnapshotId id;
  BlobId tree;
};

Side find_side(const Context& context, const Repository& repository, const std::string& text) {
  const SnapshotArgument argument = split_snapshot_argument(text);
  const StoredSnapshot stored = find_snapshot(context, repository, argument.id, {});
  BlobReader reader(repository);
  return {stored.id, find_subfolder(context, reader, stored.snapshot.tree, argument.subfolder)};
}

void append_counts(JsonWriter& json, std::string_view name, const DiffCounts& counts) {
  json.key(name).begin_object();
  json.field("files", counts.files).field("dirs", counts.dirs).field("others", counts.others);
  json.field("data_blobs", counts.data_blobs).field("tree_blobs", counts.tree_blobs);
  json.field("bytes", counts.bytes).end_object();
}

void print_statistics(Session& session, const Options& options, const DiffStatistics& sum) {
  Terminal& terminal = session.terminal;
  if (terminal.json()) {
    JsonWriter json;
    json.begin_message("statistics").field("source_snapshot", options.snapshots[0]);
    json.field("target_snapshot", options.snapshots[1]).field("changed_files", sum.changed_files);
    append_counts(json, "added", sum.added);
    append_counts(json, "removed", sum.removed);
    terminal.print_json(json.end_object());
    return;
  }
  terminal.print_line("");
  terminal.print_line(fmt::format("Files:       {:5} new, {:5} removed, {:5} changed",
                                  sum.added.files, sum.removed.files, sum.changed_files));
  const auto line = [&](std::string_view name, uint64_t added, uint64_t removed) {
    terminal.print_line(fmt::format("{:<12} {:5} new, {:5} removed", name, added, removed));
  };
  line("Dirs:", sum.added.dirs, sum.removed.dirs);
  line("Others:", sum.added.others, sum.removed.others);
  line("Data Blobs:", sum.added.data_blobs, sum.removed.data_blobs);
  line("Tree Blobs:", sum.added.tree_blobs, sum.removed.tree_blobs);
  terminal.print_line("  Added:   " + format_bytes(sum.added.bytes));
  terminal.print_line("  Removed: " + format_bytes(sum.removed.bytes));
}

int run(const Options& options, Session& session) {
  const OpenedRepository opened = open_repository(session);
  opened.repository->load_index(opened.context);
  const Side before = find_side(opened.context, *opened.repository, options.snapshots[0]);
  const Side after = find_side(opened.context, *opened.repository, options.snapshots[1]);
  Terminal& terminal = session.terminal;
  if (!terminal.json()) {
    terminal.message("comparing snapshot " + before.id.short_hex() + " to " + after.id.short_hex() +
                     ":\n");
  }
  const DiffVisitor on_change = [&](const std::string& path, const std::string& modifier) {
    if (terminal.json()) {
      JsonWriter json;
      json.begin_message("change").field("path", path).field("modifier", modifier);
      terminal.print_json(json.end_object());
    } else if (terminal.verbosity() > 0) {
      terminal.print_line(fmt::format("{:<5}{}", modifier, shown_path(terminal, path)));
    }
  };
  const DiffStatistics statistics = diff_trees(opened.context, *opened.repository, before.tree,
                                               after.tree, options.metadata, on_change);
  print_statistics(session, options, statistics);
  return 0;
}

}  // namespace

CommandSpec diff_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "diff",
      .summary = "Show differences between two snapshots",
      .description =
          "Shows what changed from the first snapshot to the second:\n\n"
          "  +  added          -  removed\n"
          "  M  content        T  type (a file became a symlink, say)\n"
          "  U  metadata (with --metadata)\n"
          "  ?  content changed although the metadata is the same: probably bit rot\n\n"
          "\"ID:folder\" compares folders.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->snapshots,
                       .help = "the earlier snapshot, then the later one",
                       .minimum = 2,
                       .maximum = 2}},
      .options = {{.long_name = "metadata",
                   .help = "print changes in metadata",
                   .target = &options->metadata}},
      .examples = {{"salvor diff 1a2b3c4d latest", "What changed since a snapshot"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
