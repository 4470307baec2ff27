#include <algorithm>
#include <ctime>
#include <thread>

#include "base/fd.h"
#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/maintenance/rewriter.h"
#include "model/text_file.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kListFileLimit = uint64_t{256} << 20;

// Patterns on the command line and in files, of one kind.
struct PatternOptions {
  std::vector<std::string> patterns;
  std::vector<std::string> files;
};

struct Options {
  std::vector<std::string> ids;
  FilterOptions filter;
  PatternOptions excludes;
  PatternOptions iexcludes;
  PatternOptions includes;
  PatternOptions iincludes;
  bool forget = false;
  bool dry_run = false;
  bool snapshot_summary = false;
  std::string new_host;
  std::string new_time;
};

PathPatterns patterns_of(const PatternOptions& options, const Environment& environment,
                         PathPatterns::Case sensitivity) {
  const EnvironmentLookup lookup = [&](std::string_view name) {
    return environment.get(std::string(name)).value_or("");
  };
  std::vector<std::string> patterns = options.patterns;
  for (const std::string& name : options.files) {
    const Buffer content = read_file(name, kListFileLimit);
    for (std::string& pattern : parse_pattern_file(as_text(content.view()), lookup)) {
      patterns.push_back(std::move(pattern));
    }
  }
  return PathPatterns(patterns, sensitivity);
}

Timestamp parse_new_time(const std::string& text) {
  std::tm parts{};
  parts.tm_isdst = -1;
  const char* end = strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts);
  if (end == nullptr || *end != '\0') {
    throw Error(ErrorCode::kUsage, "--new-time \"" + printable(text) + "\" is not a time",
                "Write it as \"2012-11-01 22:08:41\", in the local time zone.");
  }
  return LocalZone().stamp(std::mktime(&parts), 0);
}

RewriteOptions rewrite_options(const Options& options, Session& session) {
  using Case = PathPatterns::Case;
  RewriteOptions rewrite;
  RestoreSelection& selection = rewrite.selection;
  selection.excludes = patterns_of(options.excludes, session.environment, Case::kSensitive);
  selection.insensitive_excludes =
      patterns_of(options.iexcludes, session.environment, Case::kInsensitive);
  selection.includes = patterns_of(options.includes, session.environment, Case::kSensitive);
  selection.insensitive_includes =
      patterns_of(options.iincludes, session.environment, Case::kInsensitive);
  if ((!selection.includes.empty() || !selection.insensitive_includes.empty()) &&
      (!selection.excludes.empty() || !selection.insensitive_excludes.empty())) {
    throw Error(ErrorCode::kUsage, "exclude and include patterns are mutually exclusive");
  }
  if (selection.empty() && !options.snapshot_summary && options.new_host.empty() &&
      options.new_time.empty()) {
    throw Error(ErrorCode::kFailed,
                "nothing to do: no excludes/includes provided and no new metadata provided",
                "Give --exclude, --include, --snapshot-summary, --new-host or --new-time.");
  }
  rewrite.snapshot_summary = options.snapshot_summary;
  rewrite.new_host = options.new_host;
  if (!options.new_time.empty()) {
    rewrite.new_time = parse_new_time(options.new_time);
  }
  rewrite.forget = options.forget;
  rewrite.dry_run = options.dry_run;
  rewrite.threads = std::max(1U, std::thread::hardware_concurrency());
  rewrite.write = write_options(session.global);
  rewrite.on_removed = [&session](const std::string& location) {
    session.terminal.message_at(3, "excluding " + printable(location));
  };
  return rewrite;
}

void tell(Session& session, const StoredSnapshot& old, const RewriteOptions& options,
          const RewriteResult& result) {
  Terminal& terminal = session.terminal;
  if (terminal.json()) {
    if (result.new_id) {
      JsonWriter json;
      json.begin_message("changed").field("old_snapshot_id", old.id.hex());
      terminal.print_json(json.field("new_snapshot_id", result.new_id->hex()).end_object());
    }
    return;
  }
  if (!result.changed) {
    return;
  }
  const std::string set = options.dry_run ? "would set " : "setting ";
  if (options.dry_run) {
    terminal.print_summary("would save new snapshot");
    if (options.forget) {
      terminal.print_summary("would remove old snapshot");
    }
  }
  if (options.new_time) {
    terminal.print_summary(set + "time to " + local_time_text(*options.new_time));
  }
  if (!options.new_host.empty()) {
    terminal.print_summary(set + (options.dry_run ? "hostname to " : "host to ") +
                           printable(options.new_host));
  }
  if (result.new_id) {
    terminal.print_summary("saved new snapshot " + result.new_id->short_hex());
    if (options.forget) {
      terminal.print_summary("removed old snapshot " + old.id.short_hex());
    }
  }
}

void summarize(Session& session, size_t changed, bool dry_run) {
  if (session.terminal.json()) {
    JsonWriter json;
    json.begin_message("summary").field("changed_snapshots", changed).end_object();
    session.terminal.print_json(json);
    return;
  }
  const std::string count = std::to_string(changed) + " snapshots";
  session.terminal.print_summary("");
  session.terminal.print_summary(
      changed == 0 ? (dry_run ? "no snapshots would be modified" : "no snapshots were modified")
                   : (dry_run ? "would modify " : "modified ") + count);
}

int run(const Options& options, Session& session) {
  RewriteOptions rewrite = rewrite_options(options, session);
  const LockMode lock = options.dry_run  ? LockMode::kNone
                        : options.forget ? LockMode::kExclusive
                                         : LockMode::kShared;
  const OpenedRepository opened =
      open_repository(session, {.lock = lock, .no_lock = NoLock::kIgnored});
  rewrite.write.confirm_lock = [&](const Context& under) { opened.confirm_lock(under); };
  std::vector<UnreadableObject> unreadable;
  const SnapshotSelection selection = select_snapshots(
      opened.context, *opened.repository, options.ids, options.filter.filter(), &unreadable);
  report_unreadable(session, unreadable);
  report_ignored(session, selection);
  opened.repository->load_index(opened.context);
  size_t changed = 0;
  for (const StoredSnapshot& stored : selection.snapshots) {
    session.terminal.print_summary("\n" + snapshot_text(stored));
    try {
      const RewriteResult result = run_under_lock(session, opened, [&] {
        return rewrite_snapshot(opened.context, *opened.repository, stored, rewrite);
      });
      tell(session, stored, rewrite, result);
      changed += result.changed ? 1 : 0;
    } catch (Error& error) {
      error.within("unable to rewrite snapshot ID \"" + stored.id.short_hex() + "\"");
      throw;
    }
  }
  summarize(session, changed, options.dry_run);
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

std::vector<OptionSpec> pattern_table(Options& options) {
  const auto pattern = [](std::string name, char short_name, std::string help,
                          PatternOptions& target) {
    return OptionSpec{.long_name = std::move(name),
                      .short_name = short_name,
                      .value_name = "pattern",
                      .help = std::move(help),
                      .target = &target.patterns};
  };
  const auto file = [](std::string name, std::string help, PatternOptions& target) {
    return OptionSpec{.long_name = std::move(name),
                      .value_name = "file",
                      .help = std::move(help),
                      .target = &target.files,
                      .hint = ValueHint::kFile};
  };
  return {
      pattern("exclude", 'e', "exclude a pattern", options.excludes),
      file("exclude-file", "read exclude patterns from a file", options.excludes),
      pattern("iexclude", '\0', "same as --exclude pattern but ignores the casing of filenames",
              options.iexcludes),
      file("iexclude-file", "same as --exclude-file but ignores casing of filenames in patterns",
           options.iexcludes),
      pattern("include", 'i', "include a pattern", options.includes),
      file("include-file", "read include patterns from a file", options.includes),
      pattern("iinclude", '\0', "same as --include pattern but ignores the casing of filenames",
              options.iincludes),
      file("iinclude-file", "same as --include-file but ignores casing of filenames in patterns",
           options.iincludes),
  };
}

std::vector<OptionSpec> option_table(Options& options) {
  return {
      {.long_name = "dry-run",
       .short_name = 'n',
       .help = "do not do anything, just print what would be done",
       .target = &options.dry_run},
      {.long_name = "forget",
       .help = "remove original snapshots after creating new ones",
       .target = &options.forget},
      {.long_name = "new-host",
       .value_name = "hostname",
       .help = "replace hostname",
       .target = &options.new_host},
      {.long_name = "new-time",
       .value_name = "time",
       .help = "replace time of the backup",
       .target = &options.new_time},
      {.long_name = "snapshot-summary",
       .short_name = 's',
       .help = "create snapshot summary record if it does not exist",
       .target = &options.snapshot_summary},
  };
}

}  // namespace

CommandSpec rewrite_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "rewrite",
      .summary = "Rewrite snapshots to exclude files or change metadata",
      .description =
          "Makes new snapshots from existing ones: without the files that --exclude names, with "
          "nothing but those that --include names, or with another host or time. Without ids, all "
          "snapshots that match --host, --tag and --path are rewritten.\n\n"
          "The new snapshots get the tag \"rewrite\" and the old ones stay, unless --forget is "
          "given. What no snapshot needs any more stays in the repository until the next prune.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "ids or unambiguous beginnings of ids, or \"latest\"",
                       .maximum = kUnlimited}},
      .options = option_table(*options),
      .examples = {{"salvor rewrite --exclude secret.txt --forget",
                    "Take a file out of every snapshot"},
                   {"salvor rewrite --new-host db2 1a2b3c4d", "Correct a snapshot's host"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{3, "a snapshot could not be read; the others were rewritten"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, pattern_table(*options));
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
