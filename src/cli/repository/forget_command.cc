#include <algorithm>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/snapshot_table.h"
#include "cli/repository/prune_options.h"
#include "cli/repository/snapshot_options.h"
#include "engine/snapshots/forget.h"

namespace salvor::cli {
namespace {

struct Options {
  std::vector<std::string> ids;
  std::string keep_last = "0";
  std::string keep_hourly = "0";
  std::string keep_daily = "0";
  std::string keep_weekly = "0";
  std::string keep_monthly = "0";
  std::string keep_yearly = "0";
  std::string within;
  std::string within_hourly;
  std::string within_daily;
  std::string within_weekly;
  std::string within_monthly;
  std::string within_yearly;
  std::vector<std::string> keep_tags;
  bool allow_remove_all = false;
  FilterOptions filter;
  bool compact = false;
  std::string group_by = "host,paths";
  bool dry_run = false;
  bool prune = false;
  PruneFlags prune_flags;
};

ForgetRules rules_of(const Options& options) {
  ForgetRules rules;
  RetentionPolicy& policy = rules.policy;
  policy.last = parse_keep_count(options.keep_last);
  policy.hourly = parse_keep_count(options.keep_hourly);
  policy.daily = parse_keep_count(options.keep_daily);
  policy.weekly = parse_keep_count(options.keep_weekly);
  policy.monthly = parse_keep_count(options.keep_monthly);
  policy.yearly = parse_keep_count(options.keep_yearly);
  policy.within = parse_calendar_span(options.within);
  policy.within_hourly = parse_calendar_span(options.within_hourly);
  policy.within_daily = parse_calendar_span(options.within_daily);
  policy.within_weekly = parse_calendar_span(options.within_weekly);
  policy.within_monthly = parse_calendar_span(options.within_monthly);
  policy.within_yearly = parse_calendar_span(options.within_yearly);
  for (const std::string& tags : options.keep_tags) {
    policy.keep_tags.push_back(parse_tag_list(tags));
  }
  rules.group_by = parse_group_by(options.group_by);
  rules.allow_remove_all = options.allow_remove_all;
  rules.filtered = !options.filter.filter().empty();
  return rules;
}

void append_texts(JsonWriter& json, std::string_view name, const std::vector<std::string>& texts) {
  json.key(name);
  texts.empty() ? json.null() : json.value(texts);
}

template <class T, class F>
void append_list(JsonWriter& json, std::string_view name, const std::vector<T>& items, F append) {
  json.key(name);
  if (items.empty()) {
    json.null();
    return;
  }
  json.begin_array();
  for (size_t i = 0; i < items.size(); ++i) {
    append(i);
  }
  json.end_array();
}

// restic's document: a list of groups, each with what is kept, what is removed, and why.
void print_groups_json(Terminal& terminal, const std::vector<ForgetGroup>& groups) {
  JsonWriter json;
  json.begin_array();
  for (const auto& [group, result] : groups) {
    json.begin_object();
    append_texts(json, "tags", group.tags);
    json.field("host", group.host);
    append_texts(json, "paths", group.paths);
    append_list(json, "keep", result.keep,
                [&](size_t i) { append_snapshot_json(json, result.keep[i]); });
    append_list(json, "remove", result.remove,
                [&](size_t i) { append_snapshot_json(json, result.remove[i]); });
    append_list(json, "reasons", result.keep, [&](size_t i) {
      json.begin_object().key("snapshot");
      append_snapshot_json(json, result.keep[i]);
      json.field("matches", result.reasons[i].matches).end_object();
    });
    json.end_object();
  }
  json.end_array();
  terminal.print_json(json);
}

void print_group(Terminal& terminal, const ForgetGroup& decided, const Options& options) {
  const auto& [group, result] = decided;
  if (terminal.verbosity() >= 2) {
    terminal.print_line(snapshot_group_title(group, parse_group_by(options.group_by)));
  }
  // The policy looks from the newest down; people read tables from the oldest.
  const auto show = [&](const char* what, std::vector<StoredSnapshot> snapshots,
                        std::vector<KeepReason> reasons) {
    if (snapshots.empty()) {
      return;
    }
    std::reverse(snapshots.begin(), snapshots.end());
    std::reverse(reasons.begin(), reasons.end());
    terminal.print_line(std::string(what) + " " + std::to_string(snapshots.size()) + " snapshots:");
    print_snapshot_table(terminal, snapshots, options.compact, reasons);
    terminal.print_line("");
  };
  show("keep", result.keep, result.reasons);
  show("remove", result.remove, {});
}

std::string short_names(const std::vector<SnapshotId>& ids) {
  std::string text = "{";
  for (const SnapshotId& id : ids) {
    text += (text.size() > 1 ? " " : "") + id.short_hex();
  }
  return text + "}";
}

// Those that are named, also where their files are damaged: nothing can be restored from these, and
// nothing can be pruned as long as they are there.
std::vector<SnapshotId> named_ids(Session& session, const SnapshotSelection& selection,
                                  const std::vector<UnreadableObject>& damaged) {
  std::vector<SnapshotId> ids;
  for (const StoredSnapshot& stored : selection.snapshots) {
    ids.push_back(stored.id);
  }
  for (const UnreadableObject& one : damaged) {
    session.terminal.warn(
        one.reason, "Nothing can be restored from it; named as it was, it goes like any other.");
    // Listed, so a hash.
    ids.push_back(*SnapshotId::parse(one.object.name));
  }
  return ids;
}

std::vector<SnapshotId> choose(const Options& options, Session& session,
                               const OpenedRepository& opened) {
  std::vector<UnreadableObject> damaged;
  const SnapshotSelection selection = select_snapshots(
      opened.context, *opened.repository, options.ids, options.filter.filter(), &damaged);
  report_ignored(session, selection);
  if (!options.ids.empty()) {
    return named_ids(session, selection, damaged);
  }
  report_unreadable(session, damaged);  // no policy can say anything about them: they stay
  Terminal& terminal = session.terminal;
  const ForgetRules rules = rules_of(options);
  if (!rules.policy.empty() || (rules.allow_remove_all && rules.filtered)) {
    terminal.print_summary("Applying Policy: " + printable(rules.policy.text()));
  }
  const ForgetPlan plan = plan_forget(selection.snapshots, rules, session.context.clock.now());
  if (terminal.json()) {
    if (!plan.groups.empty()) {
      print_groups_json(terminal, plan.groups);
    }
  } else if (terminal.verbosity() >= 1) {
    for (const ForgetGroup& group : plan.groups) {
      print_group(terminal, group, options);
    }
  }
  return plan.remove;
}

// False when some are still there.
bool remove_chosen(Session& session, const OpenedRepository& opened,
                   const std::vector<SnapshotId>& chosen) {
  const ForgetResult result = remove_snapshots(opened.context, *opened.repository, chosen,
                                               [&opened] { opened.confirm_lock(opened.context); });
  session.terminal.print_summary("removed " + std::to_string(result.removed.size()) + " snapshots");
  if (result.not_removed > 0) {
    session.terminal.warn("failed to remove one or more snapshots",
                          "They are still there; run the command again when the cause is gone.");
  }
  return result.not_removed == 0;
}

int run(const Options& options, Session& session) {
  Terminal& terminal = session.terminal;
  (void)rules_of(options);  // wrong words are told before the password is asked for
  PruneOptions prune = prune_options(options.prune_flags, session.global);
  if (session.global.no_lock && !options.dry_run) {
    throw Error(ErrorCode::kUsage,
                "--no-lock is only applicable in combination with --dry-run for forget command");
  }
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kExclusive,
                                .no_lock = options.dry_run ? NoLock::kHonoured : NoLock::kIgnored});
  const std::vector<SnapshotId> chosen = choose(options, session, opened);
  const int status = session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
  if (chosen.empty()) {
    return status;
  }
  if (options.dry_run) {
    terminal.print_summary("Would have removed the following snapshots:\n" + short_names(chosen) +
                           "\n");
  } else if (!remove_chosen(session, opened, chosen)) {
    return exit_status(ErrorCode::kIncomplete);
  }
  if (options.prune) {
    terminal.print_summary(std::to_string(chosen.size()) +
                           (options.dry_run ? " snapshots would be removed, running prune dry run"
                                            : " snapshots have been removed, running prune"));
    prune.ignore_snapshots = chosen;
    run_prune(session, opened, std::move(prune), options.dry_run);
  }
  return status;
}

std::vector<OptionSpec> keep_option_table(Options& options) {
  std::vector<OptionSpec> table;
  const auto counted = [&](const char* name, char letter, const char* what, std::string& target) {
    const std::string kind(what);
    table.push_back({.long_name = name,
                     .short_name = letter,
                     .value_name = "n",
                     .help = "keep the last n " + kind + "snapshots (use 'unlimited' to keep all " +
                             kind + "snapshots)",
                     .target = &target});
  };
  counted("keep-last", 'l', "", options.keep_last);
  counted("keep-hourly", 'H', "hourly ", options.keep_hourly);
  counted("keep-daily", 'd', "daily ", options.keep_daily);
  counted("keep-weekly", 'w', "weekly ", options.keep_weekly);
  counted("keep-monthly", 'm', "monthly ", options.keep_monthly);
  counted("keep-yearly", 'y', "yearly ", options.keep_yearly);
  const auto spanned = [&](const char* name, const char* what, std::string& target) {
    table.push_back({.long_name = name,
                     .value_name = "duration",
                     .help = std::string("keep ") + what +
                             "snapshots that are newer than duration (eg. 1y5m7d2h) relative to "
                             "the latest snapshot",
                     .target = &target});
  };
  spanned("keep-within", "", options.within);
  spanned("keep-within-hourly", "hourly ", options.within_hourly);
  spanned("keep-within-daily", "daily ", options.within_daily);
  spanned("keep-within-weekly", "weekly ", options.within_weekly);
  spanned("keep-within-monthly", "monthly ", options.within_monthly);
  spanned("keep-within-yearly", "yearly ", options.within_yearly);
  table.push_back({.long_name = "keep-tag",
                   .value_name = "taglist",
                   .help = "keep snapshots with this taglist",
                   .target = &options.keep_tags});
  table.push_back({.long_name = "unsafe-allow-remove-all",
                   .help = "allow deleting all snapshots of a snapshot group",
                   .target = &options.allow_remove_all});
  return table;
}

}  // namespace

CommandSpec forget_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "forget",
      .summary = "Remove snapshots from the repository",
      .description =
          "Removes snapshots by a policy, or those that are named. Snapshots are divided into "
          "groups (--group-by), and the policy is applied to each group alone, from the newest "
          "snapshot down. For each snapshot that stays the reasons are shown. When there are not "
          "enough snapshots for a count, the oldest of the group is kept as well.\n\n"
          "Periods are those of the clock where the snapshot was made. Weeks are ISO 8601 "
          "weeks.\n\n"
          "Only the snapshots go: the data is freed by \"salvor prune\", or at once with --prune.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "snapshots to remove, whatever the policy",
                       .maximum = kUnlimited}},
      .options = keep_option_table(*options),
      .examples = {{"salvor forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run",
                    "What a policy would do, and why"},
                   {"salvor forget --keep-within 30d --prune", "Apply one, and free the space"},
                   {"salvor forget 1a2b3c4d", "Remove one snapshot"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{3,
                                      "one or more snapshots could not be removed, or are damaged "
                                      "and were left out"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter, false));
  add_options(
      command.options,
      {{.long_name = "compact",
        .short_name = 'c',
        .help = "use compact output format",
        .target = &options->compact},
       {.long_name = "group-by",
        .short_name = 'g',
        .value_name = "group",
        .help = "group snapshots by host, paths and/or tags, separated by comma (disable grouping "
                "with '')",
        .target = &options->group_by},
       {.long_name = "dry-run",
        .short_name = 'n',
        .help = "do not delete anything, just print what would be done",
        .target = &options->dry_run},
       {.long_name = "prune",
        .help = "automatically run the 'prune' command if snapshots have been removed",
        .target = &options->prune}});
  add_options(command.options, prune_option_table(options->prune_flags));
  return command;
}

}  // namespace salvor::cli
