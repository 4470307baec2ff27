#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/ncdu_printer.h"
#include "cli/output/node_text.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/reading/tree_walk.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string snapshot;
  std::vector<std::string> dirs;
  FilterOptions filter;
  bool long_listing = false;
  bool human_readable = false;
  bool recursive = false;
  bool reverse = false;
  bool ncdu = false;
  std::string sort = "name";
};

struct Entry {
  std::string path;
  Node node;
};

// "/a/b" is within "/a" and "/a/b".
bool within(std::string_view path, std::string_view directory) {
  while (directory.size() > 1 && directory.ends_with('/')) {
    directory.remove_suffix(1);
  }
  return directory == "/" || path == directory ||
         (path.starts_with(directory) && path[directory.size()] == '/');
}

void print_snapshot(Session& session, const StoredSnapshot& stored, const Options& options) {
  const Snapshot& snapshot = stored.snapshot;
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("snapshot").field("struct_type", "snapshot");
    JsonWriter fields;
    append_snapshot_json(fields, stored);
    // The snapshot's own fields stand beside the message type.
    std::string text = json.text();
    text += "," + fields.text().substr(1);
    session.terminal.print_json(JsonWriter().raw(text));
    return;
  }
  std::string paths;
  for (const std::string& path : snapshot.paths) {
    paths += (paths.empty() ? "" : " ") + path;
  }
  std::string filtered;
  for (const std::string& dir : options.dirs) {
    filtered += (filtered.empty() ? "" : " ") + dir;
  }
  session.terminal.message(
      fmt::format("snapshot {} of [{}] at {} by {}@{} filtered by [{}]:", stored.id.short_hex(),
                  printable(paths), local_time_text(snapshot.time), printable(snapshot.username),
                  printable(snapshot.hostname), printable(filtered)));
}

void print_node(Session& session, const Options& options, const std::string& path,
                const Node& node) {
  if (!session.terminal.json()) {
    session.terminal.print_line(
        options.long_listing ? long_node_line(session.terminal, node, path, options.human_readable)
                             : shown_path(session.terminal, path));
    return;
  }
  JsonWriter json;
  json.begin_message("node").field("struct_type", "node");
  json.field("name", node.name);
  json.field("type", node.type == NodeType::kOther ? std::string_view(node.other_type)
                                                   : node_type_name(node.type));
  json.field("path", path).field("uid", node.uid).field("gid", node.gid);
  if (node.type == NodeType::kFile) {
    json.field("size", node.size);
  }
  if (node.mode != 0) {
    json.field("mode", node.mode);
  }
  json.field("permissions", mode_text(node));
  json.field("mtime", node.mtime).field("atime", node.atime).field("ctime", node.ctime);
  if (node.inode != 0) {
    json.field("inode", node.inode);
  }
  session.terminal.print_json(json.end_object());
}

std::string_view extension(std::string_view path) {
  const size_t dot = path.rfind('.');
  const size_t slash = path.rfind('/');
  return dot == std::string_view::npos || (slash != std::string_view::npos && dot < slash)
             ? std::string_view()
             : path.substr(dot);
}

// Equal ones stay in the order of their paths.
void sort_entries(std::vector<Entry>& entries, const std::string& by) {
  const auto less = [&](const Entry& a, const Entry& b) {
    const auto by_time = [&](const Timestamp& left, const Timestamp& right) {
      return left.same_instant(right) ? a.path < b.path : left.before(right);
    };
    if (by == "size") {
      return a.node.size != b.node.size ? a.node.size < b.node.size : a.path < b.path;
    }
    if (by == "time" || by == "mtime") {
      return by_time(a.node.mtime, b.node.mtime);
    }
    if (by == "atime") {
      return by_time(a.node.atime, b.node.atime);
    }
    if (by == "ctime") {
      return by_time(a.node.ctime, b.node.ctime);
    }
    const auto left = extension(a.path);
    const auto right = extension(b.path);
    return left != right ? left < right : a.path < b.path;
  };
  if (by != "name") {
    std::sort(entries.begin(), entries.end(), less);
  }
}

void check_options(const Options& options, const Session& session) {
  if (options.ncdu && (session.terminal.json() || options.reverse || options.sort != "name")) {
    throw Error(ErrorCode::kUsage, "--ncdu goes with none of --json, --sort and --reverse",
                "ncdu sorts by itself: `salvor ls latest --ncdu | ncdu -f -`.");
  }
  for (const std::string& dir : options.dirs) {
    if (!dir.starts_with("/")) {
      throw Error(ErrorCode::kUsage, "\"" + printable(dir) + "\" does not begin with a slash",
                  "Name directories as they stand in the snapshot, for example /home/me.");
    }
  }
}

int run(const Options& options, Session& session) {
  check_options(options, session);
  const OpenedRepository opened = open_repository(session);
  const Context& context = opened.context;
  const SnapshotArgument argument = split_snapshot_argument(options.snapshot);
  const StoredSnapshot stored =
      find_snapshot(context, *opened.repository, argument.id, options.filter.filter());
  opened.repository->load_index(context);
  BlobReader reader(*opened.repository);
  const BlobId root = find_subfolder(context, reader, stored.snapshot.tree, argument.subfolder);
  std::optional<NcduPrinter> ncdu;
  if (options.ncdu) {
    ncdu.emplace(session.terminal, stored.snapshot);
  } else {
    print_snapshot(session, stored, options);
  }

  const bool collect = options.sort != "name" || options.reverse;
  std::vector<Entry> entries;
  const auto visit = [&](const NodePlace& place, const Node& node) {
    const std::string& path = place.path;
    const auto inside = [&](const std::string& dir) { return within(path, dir); };
    const auto above = [&](const std::string& dir) { return within(dir, path); };
    const bool shown =
        options.dirs.empty() || std::any_of(options.dirs.begin(), options.dirs.end(), inside);
    const bool leads =
        options.dirs.empty() || std::any_of(options.dirs.begin(), options.dirs.end(), above);
    if (ncdu) {
      if (shown || leads) {
        ncdu->node(place.depth, node);
      }
    } else if (shown && collect) {
      entries.push_back({path, node});
    } else if (shown) {
      print_node(session, options, path, node);
    }
    return (shown && options.recursive) || leads ? Descend::kYes : Descend::kNo;
  };
  within_snapshot(stored.id, [&] { walk_tree(context, reader, root, "", visit); });
  if (ncdu) {
    ncdu->finish();
  }
  sort_entries(entries, options.sort);
  if (options.reverse) {
    std::reverse(entries.begin(), entries.end());
  }
  for (const Entry& entry : entries) {
    print_node(session, options, entry.path, entry.node);
  }
  return 0;
}

}  // namespace

CommandSpec ls_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "ls",
      .summary = "List files in a snapshot",
      .description =
          "Lists the files and directories of a snapshot. \"latest\" stands for the newest one, "
          "\"ID:folder\" for what is in a folder of it.\n\n"
          "Directories named after the snapshot limit the list to them and what is right in them; "
          "with --recursive to everything below.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->snapshot,
                       .help = "the snapshot, \"latest\", or \"snapshot:folder\"",
                       .minimum = 1},
                      {.name = "dir",
                       .target = &options->dirs,
                       .help = "directories to list, with a leading slash",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "long",
                   .short_name = 'l',
                   .help = "use a long listing format showing size and mode",
                   .target = &options->long_listing},
                  {.long_name = "human-readable",
                   .help = "print sizes in human readable format",
                   .target = &options->human_readable},
                  {.long_name = "ncdu",
                   .help = "output NCDU export format (pipe into 'ncdu -f -')",
                   .target = &options->ncdu},
                  {.long_name = "recursive",
                   .help = "include files in subfolders of the listed directories",
                   .target = &options->recursive},
                  {.long_name = "reverse",
                   .help = "reverse sorted output",
                   .target = &options->reverse},
                  {.long_name = "sort",
                   .short_name = 's',
                   .value_name = "mode",
                   .help = "sort output by",
                   .target = &options->sort,
                   .choices = {"name", "size", "time", "mtime", "atime", "ctime", "extension"},
                   .default_text = "name"}},
      .examples = {{"salvor ls latest /home/me", "What is in a directory"},
                   {"salvor ls latest -l --sort size --reverse", "The largest files first"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options,
              filter_option_table(options->filter, true, ", when snapshot ID \"latest\" is given"));
  return command;
}

}  // namespace salvor::cli
