#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/node_text.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/snapshots/file_search.h"
#include "engine/snapshots/object_search.h"

namespace salvor::cli {

namespace {

struct Options {
  std::vector<std::string> patterns;
  FilterOptions filter;
  std::vector<std::string> snapshots;
  bool ignore_case = false;
  bool long_listing = false;
  bool human_readable = false;
  bool reverse = false;
  bool blob = false;
  bool tree = false;
  bool pack = false;
  bool show_pack_id = false;
  std::string oldest;
  std::string newest;
};

// "2006-01-02 15:04:05" and the shorter forms that restic takes, in the local zone.
std::optional<int64_t> parse_time(const std::string& option, const std::string& text) {
  if (text.empty()) {
    return std::nullopt;
  }
  for (const char* format :
       {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y"}) {
    std::tm parts{};
    parts.tm_isdst = -1;
    const char* end = ::strptime(text.c_str(), format, &parts);
    if (end != nullptr && *end == '\0') {
      return std::mktime(&parts);
    }
  }
  throw Error(ErrorCode::kUsage, "--" + option + " \"" + printable(text) + "\" is not a time",
              "Write it as 2006-01-02 or \"2006-01-02 15:04:05\".");
}

FileSearch make_search(const Options& options) {
  return {PathPatterns(options.patterns, options.ignore_case ? PathPatterns::Case::kInsensitive
                                                             : PathPatterns::Case::kSensitive),
          parse_time("oldest", options.oldest), parse_time("newest", options.newest)};
}

void append_match(JsonWriter& json, const std::string& path, const Node& node) {
  json.begin_object().field("path", path).field("permissions", mode_text(node));
  json.field("type", node.type == NodeType::kOther ? std::string_view(node.other_type)
                                                   : node_type_name(node.type));
  const auto number = [&](std::string_view name, uint64_t value) {
    if (value != 0) {
      json.field(name, value);
    }
  };
  number("mode", node.mode);
  json.field("mtime", node.mtime).field("atime", node.atime).field("ctime", node.ctime);
  json.field("uid", node.uid).field("gid", node.gid);
  if (!node.user.empty()) {
    json.field("user", node.user);
  }
  if (!node.group.empty()) {
    json.field("group", node.group);
  }
  number("inode", node.inode);
  number("device_id", node.device_id);
  number("size", node.size);
  number("links", node.links);
  if (!node.link_target.empty()) {
    json.field("linktarget", node.link_target);
  }
  number("device", node.device);
  json.end_object();
}

// Prints what is found in one snapshot as it comes; with --json appends to a document.
class MatchPrinter {
 public:
  MatchPrinter(Session& session, const Options& options, const StoredSnapshot& stored, bool first,
               JsonWriter& json)
      : session_(session), options_(options), stored_(stored), first_(first), json_(json) {}

  void match(const std::string& path, const Node& node) {
    if (hits_++ == 0) {
      begin();
    }
    if (session_.terminal.json()) {
      append_match(json_, path, node);
      return;
    }
    session_.terminal.print_line(
        options_.long_listing
            ? long_node_line(session_.terminal, node, path, options_.human_readable)
            : shown_path(session_.terminal, path));
  }

  // Whether anything was found.
  bool finish() {
    if (hits_ > 0 && session_.terminal.json()) {
      json_.end_array().field("hits", hits_).field("snapshot", stored_.id.hex()).end_object();
    }
    return hits_ > 0;
  }

 private:
  void begin() {
    if (session_.terminal.json()) {
      json_.begin_object().key("matches").begin_array();
      return;
    }
    // With the results: a path alone does not say where it can be restored from.
    if (!first_) {
      session_.terminal.print_summary("");
    }
    session_.terminal.print_summary("Found matching entries in snapshot " + stored_.id.short_hex() +
                                    " from " + local_time_text(stored_.snapshot.time));
  }

  Session& session_;
  const Options& options_;
  const StoredSnapshot& stored_;
  const bool first_;
  JsonWriter& json_;
  uint64_t hits_ = 0;
};

// Newest first, as restic.
std::vector<StoredSnapshot> chosen_snapshots(const Options& options, Session& session,
                                             const OpenedRepository& opened) {
  SnapshotSelection selection = select_snapshots(opened.context, *opened.repository,
                                                 options.snapshots, options.filter.filter());
  report_ignored(session, selection);
  std::sort(selection.snapshots.begin(), selection.snapshots.end(),
            [&](const StoredSnapshot& left, const StoredSnapshot& right) {
              return options.reverse ? left.snapshot.time.before(right.snapshot.time)
                                     : right.snapshot.time.before(left.snapshot.time);
            });
  return std::move(selection.snapshots);
}

// ---- files by name ----

int find_files(const Options& options, Session& session, const OpenedRepository& opened) {
  const FileSearch search = make_search(options);
  BlobReader reader(*opened.repository);
  JsonWriter json;
  json.begin_array();
  bool first = true;
  for (const StoredSnapshot& stored : chosen_snapshots(options, session, opened)) {
    MatchPrinter printer(session, options, stored, first, json);
    within_snapshot(stored.id, [&] {
      search.run(
          opened.context, reader, stored.snapshot.tree,
          [&](const std::string& path, const Node& node) { printer.match(path, node); },
          [&](const std::string& path, const Error& error) {
            opened.context.events.on(ItemFailed{"find", path, error.message(), error.hint()});
          });
    });
    first = !printer.finish() && first;
  }
  if (session.terminal.json()) {
    session.terminal.print_json(json.end_array());
  }
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

// ---- objects by id ----

void append_use(JsonWriter& json, const StoredSnapshot& stored, const ObjectUse& use) {
  json.begin_object().field("object_type", use.parent ? "blob" : "tree");
  json.field("id", use.object.id.hex()).field("path", use.path);
  if (use.parent) {
    json.field("parent_tree", use.parent->hex());
  }
  json.field("snapshot", stored.id.hex()).field("time", stored.snapshot.time).end_object();
}

void print_use(Session& session, const StoredSnapshot& stored, const ObjectUse& use) {
  const auto line = [&](const std::string& text) { session.terminal.print_line(text); };
  line(std::string("Found ") + (use.parent ? "blob " : "tree ") + use.object.id.hex());
  if (use.parent) {
    line(" ... in file " + shown_path(session.terminal, use.path));
    line("     (tree " + use.parent->hex() + ")");
  } else {
    line(" ... path " + shown_path(session.terminal, use.path));
  }
  line(" ... in snapshot " + stored.id.short_hex() + " (" + local_time_text(stored.snapshot.time) +
       ")");
}

void print_packs(Session& session, const Repository& repository, const ObjectSearch& search) {
  for (const BlobHandle& object : search.objects()) {
    const std::string kind = object.type == BlobType::kTree ? "tree" : "data";
    const std::vector<BlobLocation> copies = repository.index().find_all(object);
    if (copies.empty()) {
      session.terminal.print_line("Object " + object.id.hex() + " with type " + kind +
                                  " not found in the index");
    }
    for (const BlobLocation& copy : copies) {
      session.terminal.print_line("Object " + object.id.hex() + " belongs to pack " +
                                  copy.pack.hex());
      session.terminal.print_line(fmt::format(" ... {} blob, offset {}, length {}, {} bytes stored",
                                              kind, copy.blob.offset, copy.blob.content_length(),
                                              copy.blob.length));
    }
  }
}

int find_objects(const Options& options, Session& session, const OpenedRepository& opened) {
  ObjectSearch search(*opened.repository);
  if (options.pack) {
    for (const PackId& pack : search.add_packs(opened.context, options.patterns)) {
      opened.context.events.on(
          Warning{"pack " + pack.short_hex() +
                  " is missing or damaged: its blobs are taken from the index"});
    }
  } else {
    search.add_blobs(options.tree ? BlobType::kTree : BlobType::kData, options.patterns);
  }
  BlobReader reader(*opened.repository);
  JsonWriter json;
  json.begin_array();
  for (const StoredSnapshot& stored : chosen_snapshots(options, session, opened)) {
    within_snapshot(stored.id, [&] {
      search.run(
          opened.context, reader, stored.snapshot,
          [&](const ObjectUse& use) {
            if (session.terminal.json()) {
              append_use(json, stored, use);
            } else {
              print_use(session, stored, use);
            }
          },
          [&](const std::string& path, const Error& error) {
            opened.context.events.on(ItemFailed{"find", path, error.message(), error.hint()});
          });
    });
  }
  if (session.terminal.json()) {
    session.terminal.print_json(json.end_array());
  } else if (options.show_pack_id) {
    print_packs(session, *opened.repository, search);
  }
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

int run(const Options& options, Session& session) {
  const int kinds = int{options.blob} + int{options.tree} + int{options.pack};
  if (kinds > 1) {
    throw Error(ErrorCode::kUsage, "--blob, --tree and --pack exclude each other",
                "Search for one kind of object at a time.");
  }
  if (options.show_pack_id && kinds == 0) {
    throw Error(ErrorCode::kUsage, "--show-pack-id needs --blob, --tree or --pack",
                "Files by name are in many packs; `salvor find --blob ID --show-pack-id`.");
  }
  const OpenedRepository opened = open_repository(session);
  opened.repository->load_index(opened.context);
  return kinds == 0 ? find_files(options, session, opened) : find_objects(options, session, opened);
}

}  // namespace

CommandSpec find_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "find",
      .summary = "Find a file, a directory or a stored object in snapshots",
      .description =
          "Searches the snapshots, the newest first, for files and directories whose names match. "
          "A pattern is a shell glob, as for --exclude: \"*.conf\", \"/etc/**/hosts\".\n\n"
          "With --blob, --tree or --pack the arguments are ids (8 digits are enough): tells which "
          "files and directories of which snapshots use them, that is, what would be lost with "
          "them.",
      .positionals = {{.name = "PATTERN",
                       .target = &options->patterns,
                       .help = "what to look for",
                       .minimum = 1,
                       .maximum = kUnlimited}},
      .options = {{.long_name = "blob", .help = "pattern is a blob-ID", .target = &options->blob},
                  {.long_name = "tree", .help = "pattern is a tree-ID", .target = &options->tree},
                  {.long_name = "pack", .help = "pattern is a pack-ID", .target = &options->pack},
                  {.long_name = "show-pack-id",
                   .help = "display the pack-ID the blobs belong to (with --blob or --tree)",
                   .target = &options->show_pack_id},
                  {.long_name = "human-readable",
                   .help = "print sizes in human readable format",
                   .target = &options->human_readable},
                  {.long_name = "ignore-case",
                   .short_name = 'i',
                   .help = "ignore case for pattern",
                   .target = &options->ignore_case},
                  {.long_name = "long",
                   .short_name = 'l',
                   .help = "use a long listing format showing size and mode",
                   .target = &options->long_listing},
                  {.long_name = "newest",
                   .short_name = 'N',
                   .value_name = "time",
                   .help = "newest modification date/time",
                   .target = &options->newest},
                  {.long_name = "oldest",
                   .short_name = 'O',
                   .value_name = "time",
                   .help = "oldest modification date/time",
                   .target = &options->oldest},
                  {.long_name = "reverse",
                   .short_name = 'R',
                   .help = "reverse sort order oldest to newest",
                   .target = &options->reverse},
                  {.long_name = "snapshot",
                   .short_name = 's',
                   .value_name = "id",
                   .help = "snapshot id to search in",
                   .target = &options->snapshots}},
      .examples = {{"salvor find '*.conf' --oldest 2026-01-01", "Changed this year"},
                   {"salvor find --pack 2b7b9e5c", "Which files a damaged pack has parts of"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
