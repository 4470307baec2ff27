#include <algorithm>
#include <future>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/application/source_commands.h"
#include "cli/commands.h"
#include "cli/output/progress.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/restore/restorer.h"
#include "engine/snapshots/snapshot_filter.h"
#include "model/text_file.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kListFileLimit = uint64_t{256} << 20;

struct Options {
  std::string snapshot;
  std::string target;
  std::vector<std::string> includes;
  std::vector<std::string> iincludes;
  std::vector<std::string> include_files;
  std::vector<std::string> iinclude_files;
  std::vector<std::string> excludes;
  std::vector<std::string> iexcludes;
  std::vector<std::string> exclude_files;
  std::vector<std::string> iexclude_files;
  std::vector<std::string> include_xattrs;
  std::vector<std::string> exclude_xattrs;
  std::string overwrite = "always";
  bool delete_unexpected = false;
  bool dry_run = false;
  bool sparse = false;
  bool verify = false;
  bool ownership_by_name = false;
  FilterOptions filter;
  std::string at;
  std::string label;
  bool in_place = false;
  bool undo = false;
  bool discard = false;
  Consent consent;
  ConfigurationOptions configuration;
};

PathPatterns patterns_of(std::vector<std::string> patterns, const std::vector<std::string>& files,
                         const Environment& environment, PathPatterns::Case sensitivity) {
  const EnvironmentLookup lookup = [&](std::string_view name) {
    return environment.get(std::string(name)).value_or("");
  };
  for (const std::string& name : files) {
    const Buffer content = read_file(name, kListFileLimit);
    for (std::string& pattern : parse_pattern_file(as_text(content.view()), lookup)) {
      patterns.push_back(std::move(pattern));
    }
  }
  return PathPatterns(patterns, sensitivity);
}

[[noreturn]] void refuse_empty_include() {
  throw Error(ErrorCode::kUsage, "the pattern of what to include is empty",
              "Is a variable not set? To restore everything, leave --include out.");
}

RestoreSelection selection_of(const Options& options, const Environment& environment) {
  using Case = PathPatterns::Case;
  RestoreSelection selection;
  selection.includes =
      patterns_of(options.includes, options.include_files, environment, Case::kSensitive);
  selection.insensitive_includes =
      patterns_of(options.iincludes, options.iinclude_files, environment, Case::kInsensitive);
  selection.excludes =
      patterns_of(options.excludes, options.exclude_files, environment, Case::kSensitive);
  selection.insensitive_excludes =
      patterns_of(options.iexcludes, options.iexclude_files, environment, Case::kInsensitive);
  const bool includes = !selection.includes.empty() || !selection.insensitive_includes.empty();
  const bool excludes = !selection.excludes.empty() || !selection.insensitive_excludes.empty();
  // Empty patterns count for nothing: if nothing else was given, it must not mean everything.
  if (!includes && (!options.includes.empty() || !options.iincludes.empty())) {
    refuse_empty_include();
  }
  if (includes && excludes) {
    throw Error(
        ErrorCode::kUsage, "exclude and include patterns are mutually exclusive",
        "Restore twice, or write the exception as an include pattern that begins with \"!\".");
  }
  return selection;
}

std::function<bool(const std::string&)> attribute_filter(const Options& options) {
  if (!options.include_xattrs.empty() && !options.exclude_xattrs.empty()) {
    throw Error(ErrorCode::kUsage, "exclude and include xattr patterns are mutually exclusive");
  }
  if (!options.exclude_xattrs.empty()) {
    return [patterns = PathPatterns(options.exclude_xattrs)](const std::string& name) {
      return !patterns.match(name).matched;
    };
  }
  if (!options.include_xattrs.empty()) {
    return [patterns = PathPatterns(options.include_xattrs)](const std::string& name) {
      return patterns.match(name).matched;
    };
  }
  return {};
}

Overwrite overwrite_of(const std::string& text) {
  return text == "if-changed" ? Overwrite::kIfChanged
         : text == "if-newer" ? Overwrite::kIfNewer
         : text == "never"    ? Overwrite::kNever
                              : Overwrite::kAlways;
}

RestoreOptions restore_options(const Options& options, const Session& session) {
  if (options.target.empty()) {
    throw Error(
        ErrorCode::kUsage, "no target directory was given",
        "Say where to restore to: --target /tmp/restored (or --target / for the original place).");
  }
  if (options.dry_run && options.verify) {
    throw Error(ErrorCode::kUsage, "--dry-run and --verify are mutually exclusive");
  }
  RestoreOptions restore;
  restore.target = options.target;
  restore.selection = selection_of(options, session.environment);
  restore.overwrite = overwrite_of(options.overwrite);
  restore.delete_unexpected = options.delete_unexpected;
  restore.sparse = options.sparse;
  restore.dry_run = options.dry_run;
  restore.verify = options.verify;
  restore.ownership_by_name = options.ownership_by_name;
  restore.attribute_wanted = attribute_filter(options);
  if (options.delete_unexpected && clean_path(options.target) == "/" && restore.selection.empty()) {
    throw Error(
        ErrorCode::kUsage, "--target / --delete must be combined with an include or exclude filter",
        "Otherwise everything on this machine that the snapshot does not hold would be removed.");
  }
  return restore;
}

ProgressNumbers numbers_of(const RestoreProgress& progress) {
  ProgressNumbers numbers;
  numbers.bytes_done = progress.bytes_restored;
  numbers.bytes_total = progress.bytes_total - progress.bytes_skipped;
  numbers.files_done = progress.files_restored.load();
  numbers.files_total = progress.files_total - progress.files_skipped;
  numbers.unit = "files/dirs";
  numbers.errors = progress.errors;
  return numbers;
}

// restic's fields, those that are zero left out where restic leaves them out.
JsonWriter numbers_json(const char* type, const RestoreProgress& progress,
                        std::chrono::nanoseconds elapsed) {
  JsonWriter json;
  json.begin_message(type);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(elapsed).count();
  if (seconds > 0) {
    json.field("seconds_elapsed", seconds);
  }
  const uint64_t total = progress.bytes_total;
  if (std::string_view(type) == "status") {
    const double done = static_cast<double>(progress.bytes_restored.load());
    json.field("percent_done", total == 0 ? 0.0 : done / static_cast<double>(total));
  }
  const auto optional = [&](const char* name, uint64_t value) {
    if (value > 0) {
      json.field(name, value);
    }
  };
  optional("total_files", progress.files_total);
  optional("files_restored", progress.files_restored);
  optional("files_skipped", progress.files_skipped);
  optional("files_deleted", progress.files_deleted);
  optional("total_bytes", total);
  optional("bytes_restored", progress.bytes_restored);
  optional("bytes_skipped", progress.bytes_skipped);
  return json;
}

std::string summary_text(const RestoreProgress& progress, bool dry_run,
                         std::chrono::nanoseconds elapsed) {
  const uint64_t files = progress.files_restored;
  const uint64_t files_total = progress.files_total;
  const uint64_t bytes = progress.bytes_restored;
  const uint64_t bytes_total = progress.bytes_total;
  const char* const verb = dry_run ? "Would restore" : "Restored";
  std::string text =
      files == files_total && bytes == bytes_total
          ? fmt::format("Summary: {} {} files/dirs ({})", verb, files, format_bytes(bytes))
          : fmt::format("Summary: {} {} / {} files/dirs ({} / {})", verb, files, files_total,
                        format_bytes(bytes), format_bytes(bytes_total));
  text += " in " + format_duration(elapsed);
  if (progress.files_skipped > 0) {
    text += fmt::format(", skipped {} files/dirs {}", progress.files_skipped.load(),
                        format_bytes(progress.bytes_skipped));
  }
  if (progress.files_deleted > 0) {
    text += fmt::format(", deleted {} files/dirs", progress.files_deleted.load());
  }
  if (!dry_run && progress.bytes_written < bytes) {
    text += fmt::format(", wrote {}", format_bytes(progress.bytes_written));
  }
  return text;
}

void print_result(Session& session, const Options& options, const RestoreProgress& progress,
                  const RestoreResult& result, std::chrono::nanoseconds elapsed) {
  Terminal& terminal = session.terminal;
  if (terminal.json()) {
    JsonWriter json = numbers_json("summary", progress, elapsed);
    json.field("bytes_written", progress.bytes_written.load());
    if (options.verify) {
      json.field("files_verified", progress.files_verified.load());
    }
    terminal.print_json(json.field("error_count", result.errors).end_object());
    return;
  }
  terminal.print_summary(summary_text(progress, options.dry_run, elapsed));
  if (options.verify) {
    terminal.print_summary(fmt::format("verified {} files in {}", progress.files_verified.load(),
                                       printable(options.target)));
  }
}

int run(const Options& options, Session& session) {
  if (means_source(session, options.configuration, {options.snapshot})) {
    if (std::ranges::find(options.includes, "") != options.includes.end()) {
      refuse_empty_include();
    }
    return run_source_restore(session, options.configuration,
                              {.source = options.snapshot,
                               .at = options.at,
                               .label = options.label,
                               .target = options.target,
                               .include = options.includes,
                               .in_place = options.in_place,
                               .undo = options.undo,
                               .discard = options.discard,
                               .dry_run = options.dry_run,
                               .consent = options.consent});
  }
  if (!options.at.empty() || !options.label.empty() || options.in_place || options.undo ||
      options.discard) {
    throw Error(ErrorCode::kUsage,
                "--at, --label, --in-place, --undo and --discard-old are for sources of the "
                "configuration",
                "Name one, without naming a repository: salvor restore db --at ...");
  }
  const RestoreOptions restore = restore_options(options, session);
  OpenedRepository opened = open_repository(session, {.lock = LockMode::kShared});
  const Context& context = opened.context;
  const SnapshotArgument argument = split_snapshot_argument(options.snapshot);
  // Where a round trip costs, the index is on its way while the snapshot is found.
  std::future<void> index = std::async(
      opened.repository->storage().traits().remote ? std::launch::async : std::launch::deferred,
      [&] { opened.repository->load_index(context); });
  const StoredSnapshot snapshot =
      find_snapshot(context, *opened.repository, argument.id, options.filter.filter());
  index.get();
  BlobId tree = snapshot.snapshot.tree;
  if (!argument.subfolder.empty()) {
    BlobReader reader(*opened.repository);
    tree = find_subfolder(context, reader, tree, argument.subfolder);
  }
  session.terminal.message("restoring snapshot " + snapshot.id.short_hex() + " of " +
                           local_time_text(snapshot.snapshot.time) + " to " +
                           printable(options.target));

  const MonotonicTime start = context.clock.monotonic();
  Restorer restorer(*opened.repository);
  RestoreResult result;
  {
    const RestoreProgress& progress = restorer.progress();
    const Progress shown(session.terminal, session.environment, context.clock,
                         {.numbers = [&progress] { return numbers_of(progress); },
                          .status_json =
                              [&progress, &context, start] {
                                JsonWriter json = numbers_json("status", progress,
                                                               context.clock.monotonic() - start);
                                json.end_object();
                                return json;
                              }});
    result = restorer.run(context, tree, restore);
  }
  print_result(session, options, restorer.progress(), result, context.clock.monotonic() - start);
  if (result.not_permitted > 0) {
    session.terminal.warn(
        fmt::format("{} owners or attributes were not restored", result.not_permitted),
        "Only root may set them. Run the restore as root to get them back.");
  }
  if (result.errors > 0) {
    session.terminal.warn(
        fmt::format("{} item(s) could not be restored", result.errors),
        "They are named above; everything else is in place. Run the same command again "
        "to try only what is missing.");
    return exit_status(ErrorCode::kIncomplete);
  }
  return 0;
}

std::vector<OptionSpec> pattern_option_table(Options& options) {
  const auto pattern = [](const char* name, char letter, const char* help,
                          std::vector<std::string>* target) {
    return OptionSpec{.long_name = name,
                      .short_name = letter,
                      .value_name = "pattern",
                      .help = help,
                      .target = target};
  };
  const auto file = [](const char* name, const char* help, std::vector<std::string>* target) {
    return OptionSpec{.long_name = name,
                      .value_name = "file",
                      .help = help,
                      .target = target,
                      .hint = ValueHint::kFile};
  };
  return {
      pattern("exclude", 'e', "exclude a pattern", &options.excludes),
      file("exclude-file", "read exclude patterns from a file", &options.exclude_files),
      pattern("iexclude", '\0', "same as --exclude pattern but ignores the casing of filenames",
              &options.iexcludes),
      file("iexclude-file", "same as --exclude-file but ignores casing of filenames in patterns",
           &options.iexclude_files),
      pattern("include", 'i', "include a pattern", &options.includes),
      file("include-file", "read include patterns from a file", &options.include_files),
      pattern("iinclude", '\0', "same as --include pattern but ignores the casing of filenames",
              &options.iincludes),
      file("iinclude-file", "same as --include-file but ignores casing of filenames in patterns",
           &options.iinclude_files),
      pattern("exclude-xattr", '\0', "exclude xattr by pattern", &options.exclude_xattrs),
      pattern("include-xattr", '\0', "include xattr by pattern", &options.include_xattrs),
  };
}

std::vector<OptionSpec> source_option_table(Options& options) {
  std::vector<OptionSpec> table{
      {.long_name = "at",
       .value_name = "moment",
       .help = "of a source: \"latest\", \"2026-11-21 08:00:00+01:00\", \"snapshot:1a2b3c4d\", "
               "\"lsn:0/3000028\"",
       .target = &options.at,
       .default_text = "latest"},
      {.long_name = "label",
       .value_name = "name",
       .help = "of a source: the newest backup with this label",
       .target = &options.label},
      {.long_name = "in-place",
       .help = "of a source: change what is there into the restored, which takes no second space; "
               "what is there is lost. Otherwise it is moved aside",
       .target = &options.in_place},
      {.long_name = "undo",
       .help = "of a source: put the old data of the last restore back into its place",
       .target = &options.undo},
      {.long_name = "discard-old",
       .help = "of a source: remove the old data of the last restore",
       .target = &options.discard}};
  add_options(table, consent_options(options.consent));
  add_options(table, configuration_option_table(options.configuration));
  return table;
}

std::vector<OptionSpec> option_table(Options& options) {
  return {
      {.long_name = "target",
       .short_name = 't',
       .value_name = "directory",
       .help = "directory to extract data to",
       .target = &options.target,
       .hint = ValueHint::kDirectory},
      {.long_name = "overwrite",
       .value_name = "behavior",
       .help = "what happens to files that exist: always makes their content the snapshot's and "
               "writes only what differs; if-changed trusts equal size and time; if-newer replaces "
               "older files; never keeps them",
       .target = &options.overwrite,
       .choices = {"always", "if-changed", "if-newer", "never"},
       .default_text = "always"},
      {.long_name = "delete",
       .help = "delete files from target directory if they do not exist in snapshot; use "
               "'--dry-run -vv' to check what would be deleted",
       .target = &options.delete_unexpected},
      {.long_name = "dry-run",
       .help = "do not write any data, just show what would be done",
       .target = &options.dry_run},
      {.long_name = "sparse", .help = "restore files as sparse", .target = &options.sparse},
      {.long_name = "verify", .help = "verify restored files content", .target = &options.verify},
      {.long_name = "ownership-by-name",
       .help = "restore file ownership by user name and group name (except POSIX ACLs); names that "
               "this machine does not know fall back to the numbers",
       .target = &options.ownership_by_name},
  };
}

}  // namespace

CommandSpec restore_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "restore",
      .summary = "Extract the data from a snapshot",
      .description =
          "Extracts a snapshot, or the part of it below a folder, to a directory. The special ID "
          "\"latest\" stands for the newest snapshot; \"ID:folder\" restores only what is in that "
          "folder, as `salvor ls` shows it.\n\n"
          "Every byte is verified before it is written. What is in place already is recognised by "
          "its "
          "content and not written again, so an interrupted restore is resumed by running it "
          "again, "
          "and a damaged directory is repaired in place.\n\n"
          "What cannot be restored is named, everything else is restored, and the exit status is "
          "3.\n\n"
          "Where there is a configuration (salvor.yaml) and no repository is named, the word is "
          "one of its sources, restored into its own place or below --target: `salvor restore db "
          "--at '2026-11-21 08:00:00+01:00'`. What would be lost or replaced is shown first and "
          "asked for; old data is moved aside and kept until you discard it, and comes back by "
          "itself when the restore fails.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->snapshot,
                       .help = "the snapshot, \"latest\", or \"snapshot:folder\"",
                       .minimum = 1}},
      .options = option_table(*options),
      .examples = {{"salvor restore latest --target /tmp/restored",
                    "Everything, beside the original"},
                   {"salvor restore latest:/home/me --target /home/me --dry-run -vv",
                    "What would change in place"},
                   {"salvor restore 1a2b3c4d --target / --include /etc/nginx",
                    "One directory, in place"},
                   {"salvor restore db --label pre-migration",
                    "A source of the configuration, as it was before a migration"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes,
                                    {{3, "some items could not be restored; they are named"},
                                     {21, "the target is full; run again when there is space"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, pattern_option_table(*options));
  add_options(command.options, source_option_table(*options));
  add_options(command.options,
              filter_option_table(options->filter, true, ", when snapshot ID \"latest\" is given"));
  return command;
}

}  // namespace salvor::cli
