#include <algorithm>
#include <map>

#include "cli/commands.h"
#include "cli/output/snapshot_table.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"

namespace salvor::cli {

namespace {

struct Options {
  std::vector<std::string> ids;
  FilterOptions filter;
  bool compact = false;
  std::optional<uint64_t> latest;
  bool last = false;
  std::string group_by;
};

// The last `count` snapshots, in their former order: of each host and set of paths, or of all.
std::vector<StoredSnapshot> last_of_each(std::vector<StoredSnapshot> snapshots, uint64_t count,
                                         bool by_host_and_paths) {
  std::map<std::pair<std::string, std::vector<std::string>>, uint64_t> seen;
  std::vector<StoredSnapshot> kept;
  for (auto next = snapshots.rbegin(); next != snapshots.rend(); ++next) {
    auto key = by_host_and_paths ? std::pair(next->snapshot.hostname, next->snapshot.paths)
                                 : std::pair(std::string(), std::vector<std::string>());
    if (seen[std::move(key)]++ < count) {
      kept.push_back(std::move(*next));
    }
  }
  std::reverse(kept.begin(), kept.end());
  return kept;
}

void append_array(JsonWriter& json, const std::vector<StoredSnapshot>& snapshots) {
  json.begin_array();
  for (const StoredSnapshot& snapshot : snapshots) {
    append_snapshot_json(json, snapshot);
  }
  json.end_array();
}

void print_groups(Terminal& terminal, const std::vector<SnapshotGroup>& groups, const GroupBy& by,
                  bool compact) {
  if (!terminal.json()) {
    for (const SnapshotGroup& group : groups) {
      terminal.print_line(snapshot_group_title(group, by));
      print_snapshot_table(terminal, group.snapshots, compact);
    }
    return;
  }
  JsonWriter json;
  json.begin_array();
  for (const SnapshotGroup& group : groups) {
    json.begin_object().key("group_key");
    append_group_key(json, group);
    json.key("snapshots");
    append_array(json, group.snapshots);
    json.end_object();
  }
  terminal.print_json(json.end_array());
}

void print_flat(Terminal& terminal, const std::vector<StoredSnapshot>& snapshots, bool compact) {
  if (terminal.json()) {
    JsonWriter json;
    append_array(json, snapshots);
    terminal.print_json(json);
  } else if (snapshots.empty()) {
    terminal.message("no snapshots");
  } else {
    print_snapshot_table(terminal, snapshots, compact);
  }
}

int run(const Options& options, Session& session) {
  const GroupBy by = parse_group_by(options.group_by);
  const OpenedRepository opened = open_repository(session, {LockMode::kShared});
  std::vector<UnreadableObject> unreadable;
  SnapshotSelection selection = select_snapshots(opened.context, *opened.repository, options.ids,
                                                 options.filter.filter(), &unreadable);
  report_unreadable(session, unreadable);
  report_ignored(session, selection);
  std::stable_sort(selection.snapshots.begin(), selection.snapshots.end(),
                   [](const StoredSnapshot& a, const StoredSnapshot& b) {
                     return a.snapshot.time.before(b.snapshot.time);
                   });
  const bool grouped = by.host || by.paths || by.tags;
  // Also without grouping: it sorts the paths of each snapshot, as restic shows them.
  std::vector<SnapshotGroup> groups = group_snapshots(std::move(selection.snapshots), by);
  const std::optional<uint64_t> latest = options.last ? 1 : options.latest;
  if (latest) {
    for (SnapshotGroup& group : groups) {
      group.snapshots = last_of_each(std::move(group.snapshots), *latest, !grouped);
    }
  }
  if (grouped) {
    print_groups(session.terminal, groups, by, options.compact);
  } else {
    print_flat(session.terminal,
               groups.empty() ? std::vector<StoredSnapshot>{} : groups[0].snapshots,
               options.compact);
  }
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

}  // namespace

CommandSpec snapshots_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "snapshots",
      .summary = "List all snapshots",
      .description =
          "Lists the snapshots stored in the repository, oldest first: when each was made, on "
          "which "
          "host, with which tags and from which paths.\n\nWith ids, only those snapshots are "
          "listed. Size is what was read from the source, before deduplication; snapshots made by "
          "old versions of restic do not record it.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "ids or unambiguous beginnings of ids, or \"latest\"",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "compact",
                   .short_name = 'c',
                   .help = "use compact output format",
                   .target = &options->compact},
                  {.long_name = "group-by",
                   .short_name = 'g',
                   .value_name = "group",
                   .help = "group snapshots by host, paths and/or tags, separated by comma",
                   .target = &options->group_by},
                  {.long_name = "last",
                   .help = "as --latest 1 (deprecated in restic too)",
                   .target = &options->last,
                   .hidden = true},
                  {.long_name = "latest",
                   .value_name = "n",
                   .help = "only show the last n snapshots for each host and path",
                   .target = &options->latest}},
      .examples = {{"salvor snapshots --tag nightly --host web1", "The nightly ones of one host"},
                   {"salvor snapshots --latest 1 --group-by host",
                    "The newest of each path, host by host"},
                   {"salvor snapshots --json | jq -r '.[].short_id'", "Ids for a script"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{3, "some snapshots could not be read; the others are listed"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
