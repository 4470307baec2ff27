#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/snapshots/snapshot_tags.h"

namespace salvor::cli {

namespace {

struct Options {
  std::vector<std::string> ids;
  FilterOptions filter;
  std::vector<std::string> set;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};

// All tags of "a,b" and "c"; empty ones are none.
std::vector<std::string> flatten(const std::vector<std::string>& lists) {
  std::vector<std::string> tags;
  for (const std::string& list : lists) {
    for (std::string& tag : parse_tag_list(list)) {
      if (!tag.empty()) {
        tags.push_back(std::move(tag));
      }
    }
  }
  return tags;
}

TagChange change_of(const Options& options) {
  if (options.set.empty() && options.add.empty() && options.remove.empty()) {
    throw Error(ErrorCode::kUsage, "nothing to do", "Give at least one of --set, --add, --remove.");
  }
  if (!options.set.empty() && (!options.add.empty() || !options.remove.empty())) {
    throw Error(ErrorCode::kUsage, "--set and --add or --remove exclude each other");
  }
  TagChange change{
      .set = std::nullopt, .add = flatten(options.add), .remove = flatten(options.remove)};
  if (!options.set.empty()) {
    change.set = flatten(options.set);
  }
  return change;
}

void tell_changed(Session& session, const SnapshotId& old_id, const SnapshotId& new_id) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("changed").field("old_snapshot_id", old_id.hex());
    session.terminal.print_json(json.field("new_snapshot_id", new_id.hex()).end_object());
  } else {
    session.terminal.message_at(
        2, "old snapshot ID: " + old_id.hex() + " -> new snapshot ID: " + new_id.hex());
  }
}

int run(const Options& options, Session& session) {
  const TagChange change = change_of(options);
  const OpenedRepository opened =
      open_repository(session, {LockMode::kExclusive, NoLock::kIgnored});
  std::vector<UnreadableObject> unreadable;
  const SnapshotSelection selection = select_snapshots(
      opened.context, *opened.repository, options.ids, options.filter.filter(), &unreadable);
  report_unreadable(session, unreadable);
  report_ignored(session, selection);
  size_t changed = 0;
  for (const StoredSnapshot& stored : selection.snapshots) {
    opened.context.check_stopped();
    Snapshot snapshot = stored.snapshot;
    if (apply_tags(snapshot, change)) {
      const SnapshotId id = replace_snapshot(opened.context, *opened.repository, *opened.lock,
                                             stored, std::move(snapshot));
      tell_changed(session, stored.id, id);
      ++changed;
    }
  }
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("changed_snapshots", changed).end_object();
    session.terminal.print_json(json);
  } else {
    session.terminal.print_summary(changed == 0
                                       ? "no snapshots were modified"
                                       : "modified " + std::to_string(changed) + " snapshots");
  }
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

}  // namespace

CommandSpec tag_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "tag",
      .summary = "Modify tags on snapshots",
      .description =
          "Changes the tags of snapshots that exist: replaces them all (--set), or adds and "
          "removes single "
          "ones. Without ids, all snapshots that match --host, --tag and --path are changed.\n\nA "
          "changed snapshot gets a new id; the first one stays recorded in it as \"original\".",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "ids or unambiguous beginnings of ids, or \"latest\"",
                       .maximum = kUnlimited}},
      .options =
          {{.long_name = "add",
            .value_name = "tags",
            .help = "tags to add to the existing ones, in the form tag[,tag,...]",
            .target = &options->add},
           {.long_name = "remove",
            .value_name = "tags",
            .help = "tags to take from the existing ones, in the form tag[,tag,...]",
            .target = &options->remove},
           {.long_name = "set",
            .value_name = "tags",
            .help = "tags to replace the existing ones with, in the form tag[,tag,...]; an empty "
                    "text removes all",
            .target = &options->set}},
      .examples = {{"salvor tag --add keep latest", "So that \"forget --keep-tag keep\" spares it"},
                   {"salvor tag --set '' --tag wrong",
                    "Remove all tags where \"wrong\" is among them"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{3, "some snapshots could not be read; the others were changed"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
