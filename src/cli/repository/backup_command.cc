#include <algorithm>
#include <ctime>
#include <future>

#include <fmt/format.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/application/source_commands.h"
#include "cli/commands.h"
#include "cli/output/backup_report.h"
#include "cli/output/text.h"
#include "cli/repository_access.h"
#include "connector/command/stream_source.h"
#include "connector/files/files_source.h"
#include "connector/files/path_list.h"
#include "engine/backup/archiver.h"
#include "engine/snapshots/snapshot_filter.h"
#include "engine/snapshots/snapshot_labels.h"
#include "model/text_file.h"

namespace salvor::cli {
namespace {

constexpr uint64_t kListFileLimit = uint64_t{256} << 20;
// More bring nothing, but each needs a thread: what scripts ask for above that is cut down to it.
constexpr uint64_t kMostReaders = 64;

struct Options {
  std::vector<std::string> targets;
  std::vector<std::string> excludes;
  std::vector<std::string> iexcludes;
  std::vector<std::string> exclude_files;
  std::vector<std::string> iexclude_files;
  std::vector<std::string> exclude_if_present;
  bool exclude_caches = false;
  std::optional<Size> exclude_larger_than;
  std::vector<std::string> files_from;
  std::vector<std::string> files_from_verbatim;
  std::vector<std::string> files_from_raw;
  bool one_file_system = false;
  bool with_atime = false;
  bool stdin_data = false;
  bool stdin_from_command = false;
  std::string stdin_filename = "stdin";
  std::vector<std::string> tags;
  std::string host;
  std::string time;
  std::string parent;
  std::string group_by = "host,paths";
  bool force = false;
  bool ignore_inode = false;
  bool ignore_ctime = false;
  bool dry_run = false;
  bool skip_if_unchanged = false;
  bool no_scan = false;
  uint64_t read_concurrency = 0;
  std::string label;
  std::string keep;
  std::vector<std::string> sources;
  bool all = false;
  ConfigurationOptions configuration;
};

Buffer read_list(const std::string& name) {
  if (name != "-") {
    return read_file(name, kListFileLimit);
  }
  Buffer content;
  for (;;) {
    const size_t before = content.size();
    const size_t got = read_some(STDIN_FILENO, content.extend(size_t{64} << 10), "standard input");
    content.resize(before + got);
    if (got == 0) {
      return content;
    }
    if (content.size() > kListFileLimit) {
      throw Error(ErrorCode::kUsage, "the list of files on standard input is larger than 256 MiB");
    }
  }
}

void append(std::vector<std::string>& to, std::vector<std::string> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::vector<std::string> collect_targets(const Options& options, Session& session) {
  std::vector<std::string> targets;
  for (const std::string& name : options.files_from) {
    PathList list = parse_files_from(as_text(read_list(name).view()));
    for (const std::string& pattern : list.unmatched) {
      session.terminal.warn("pattern \"" + printable(pattern) + "\" in " + name +
                            " does not match any files, skipping");
    }
    append(targets, std::move(list.paths));
  }
  for (const std::string& name : options.files_from_verbatim) {
    append(targets, parse_files_from_verbatim(as_text(read_list(name).view())));
  }
  for (const std::string& name : options.files_from_raw) {
    append(targets, parse_files_from_raw(as_text(read_list(name).view())));
  }
  append(targets, options.targets);
  if (targets.empty()) {
    throw Error(ErrorCode::kUsage, "nothing to back up: no files or directories were named",
                "Name them on the command line (salvor backup /home /etc) or with --files-from.");
  }
  return targets;
}

bool reads_stdin(const Options& options) {
  const auto lists_stdin = [](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), "-") != names.end();
  };
  return options.stdin_data || lists_stdin(options.files_from) ||
         lists_stdin(options.files_from_verbatim) || lists_stdin(options.files_from_raw);
}

void check_combinations(const Options& options) {
  const bool lists = !options.files_from.empty() || !options.files_from_verbatim.empty() ||
                     !options.files_from_raw.empty();
  if (options.stdin_data && options.stdin_from_command) {
    throw Error(ErrorCode::kUsage, "--stdin and --stdin-from-command exclude each other");
  }
  if (options.stdin_data && (!options.targets.empty() || lists)) {
    throw Error(ErrorCode::kUsage, "--stdin takes no files or directories",
                "The data comes from standard input; name the file with --stdin-filename.");
  }
  if (options.stdin_from_command && (options.targets.empty() || lists)) {
    throw Error(ErrorCode::kUsage, "--stdin-from-command needs the command to run",
                "For example: salvor backup --stdin-from-command -- pg_dump mydb");
  }
}

FilesOptions files_options(const Options& options, std::vector<std::string> targets,
                           const Environment& environment) {
  const EnvironmentLookup lookup = [&](std::string_view name) {
    return environment.get(std::string(name)).value_or("");
  };
  FilesOptions files;
  files.targets = std::move(targets);
  files.excludes = options.excludes;
  for (const std::string& name : options.exclude_files) {
    append(files.excludes, parse_pattern_file(as_text(read_list(name).view()), lookup));
  }
  files.insensitive_excludes = options.iexcludes;
  for (const std::string& name : options.iexclude_files) {
    append(files.insensitive_excludes, parse_pattern_file(as_text(read_list(name).view()), lookup));
  }
  files.exclude_if_present = options.exclude_if_present;
  files.exclude_caches = options.exclude_caches;
  if (options.exclude_larger_than) {
    files.exclude_larger_than = options.exclude_larger_than->bytes;
  }
  files.one_file_system = options.one_file_system;
  files.with_atime = options.with_atime;
  files.defer_extended_attributes = true;
  return files;
}

// What --exclude and its relatives said, for the snapshot.
std::vector<std::string> recorded_excludes(const FilesOptions& files) {
  std::vector<std::string> all = files.excludes;
  append(all, files.insensitive_excludes);
  return all;
}

Timestamp backup_time(const Options& options, Session& session) {
  LocalZone zone;
  if (options.time.empty() || options.time == "now") {
    return zone.stamp(session.context.clock.now());
  }
  std::tm parts{};
  parts.tm_isdst = -1;
  const char* end = strptime(options.time.c_str(), "%Y-%m-%d %H:%M:%S", &parts);
  const std::time_t seconds = end != nullptr && *end == '\0' ? std::mktime(&parts) : -1;
  if (end == nullptr || *end != '\0') {
    throw Error(ErrorCode::kUsage, "--time \"" + printable(options.time) + "\" is not a time",
                "Write it as \"2012-11-01 22:08:41\", in the local time zone.");
  }
  return zone.stamp(seconds, 0);
}

BackupOptions backup_options(const Options& options, Session& session) {
  BackupOptions backup;
  backup.time = backup_time(options, session);
  backup.hostname = options.host.empty() ? current_host_name() : options.host;
  backup.username = current_user_name();
  backup.uid = getuid();
  backup.gid = getgid();
  backup.tags = split_list(options.tags);
  append(backup.tags, label_tags(options.label, options.keep, backup.time));
  backup.program_version = "salvor " SALVOR_VERSION;
  backup.skip_if_unchanged = options.skip_if_unchanged;
  backup.detection.ignore_inode = options.ignore_inode;
  backup.detection.ignore_ctime = options.ignore_ctime;
  backup.detection.attributes_deferred = true;
  if (options.read_concurrency > 0) {
    backup.read_concurrency =
        static_cast<unsigned>(std::min(options.read_concurrency, kMostReaders));
  }
  backup.write = write_options(session.global);
  backup.write.dry_run = options.dry_run;
  return backup;
}

std::optional<StoredSnapshot> parent_of(const Context& context, const Repository& repository,
                                        const Options& options, const BackupOptions& backup,
                                        const std::vector<std::string>& paths) {
  if (options.force || options.stdin_data || options.stdin_from_command) {
    return std::nullopt;
  }
  if (!options.parent.empty()) {
    return find_snapshot(context, repository, options.parent, {});
  }
  const GroupBy by = parse_group_by(options.group_by);
  return find_parent(context, repository, backup, paths,
                     {.same_host = by.host, .same_paths = by.paths, .same_tags = by.tags});
}

std::unique_ptr<Source> make_source(const Options& options, Session& session,
                                    BackupOptions& backup) {
  const StreamOptions stream{options.stdin_filename, backup.time, backup.uid, backup.gid};
  if (options.stdin_data) {
    return std::make_unique<StdinSource>(stream);
  }
  if (options.stdin_from_command) {
    return std::make_unique<CommandSource>(stream, options.targets);
  }
  FilesOptions files =
      files_options(options, collect_targets(options, session), session.environment);
  backup.excludes = recorded_excludes(files);
  return std::make_unique<FilesSource>(std::move(files));
}

// Whether sources of the configuration are meant instead of paths.
std::optional<int> run_sources(const Options& options, Session& session) {
  const bool named = options.all || !options.sources.empty();
  if (named && !options.targets.empty()) {
    throw Error(ErrorCode::kUsage, "--source and --all take no files or directories");
  }
  if (options.all && !options.sources.empty()) {
    throw Error(ErrorCode::kUsage, "--source and --all exclude each other");
  }
  const bool plain = !options.stdin_data && !options.stdin_from_command;
  if (!named && !(plain && means_source(session, options.configuration, options.targets))) {
    return std::nullopt;
  }
  return run_source_backup(session, options.configuration,
                           {.sources = options.sources.empty() ? options.targets : options.sources,
                            .label = options.label,
                            .keep = options.keep,
                            .full = options.force,
                            .dry_run = options.dry_run});
}

int run(const Options& options, Session& session) {
  if (const std::optional<int> status = run_sources(options, session)) {
    return *status;
  }
  check_combinations(options);
  BackupOptions backup = backup_options(options, session);
  const std::unique_ptr<Source> source = make_source(options, session, backup);

  OpenedRepository opened =
      open_repository(session, {.lock = options.dry_run ? LockMode::kNone : LockMode::kShared,
                                .no_lock = NoLock::kIgnored,
                                .stdin_is_data = reads_stdin(options)});
  Repository& repository = *opened.repository;
  BackupReport report(session, options.dry_run);
  {
    const StageTimer timer(opened.context.profile, Stage::kIndex);
    // Where a round trip costs, the index is on its way while the parent is found.
    std::future<void> index = std::async(
        repository.storage().traits().remote ? std::launch::async : std::launch::deferred,
        [&] { repository.load_index(opened.context); });
    backup.parent = parent_of(opened.context, repository, options, backup, source->paths());
    index.get();
  }
  report.parent(backup.parent, !options.force);
  backup.write.confirm_lock = [&](const Context& under) { opened.confirm_lock(under); };
  Archiver archiver(repository);
  report.begin(archiver.progress(), backup.parent);
  const BackupResult result = archiver.run(opened.context, *source, backup);
  report.end(result);
  return result.errors > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

// One table. NOLINTNEXTLINE(readability-function-size)
std::vector<OptionSpec> option_table(Options& options) {
  return {
      {.long_name = "dry-run",
       .short_name = 'n',
       .help = "do not upload or write any data, just show what would be done",
       .target = &options.dry_run},
      {.long_name = "exclude",
       .short_name = 'e',
       .value_name = "pattern",
       .help = "exclude a pattern",
       .target = &options.excludes},
      {.long_name = "exclude-caches",
       .help = "excludes cache directories that are marked with a CACHEDIR.TAG file",
       .target = &options.exclude_caches},
      {.long_name = "exclude-file",
       .value_name = "file",
       .help = "read exclude patterns from a file",
       .target = &options.exclude_files,
       .hint = ValueHint::kFile},
      {.long_name = "exclude-if-present",
       .value_name = "filename[:header]",
       .help = "exclude contents of directories that contain filename (except filename itself) if "
               "that file begins with header",
       .target = &options.exclude_if_present},
      {.long_name = "exclude-larger-than",
       .value_name = "size",
       .help = "max size of the files to be backed up (allowed suffixes: k/K, m/M, g/G, t/T)",
       .target = &options.exclude_larger_than},
      {.long_name = "files-from",
       .value_name = "file",
       .help = "read the files to back up from file, one pattern a line (can be combined with file "
               "args)",
       .target = &options.files_from,
       .hint = ValueHint::kFile},
      {.long_name = "files-from-raw",
       .value_name = "file",
       .help = "the same, names ended by NUL bytes (find -print0)",
       .target = &options.files_from_raw,
       .hint = ValueHint::kFile},
      {.long_name = "files-from-verbatim",
       .value_name = "file",
       .help = "the same, one name a line, taken as it stands",
       .target = &options.files_from_verbatim,
       .hint = ValueHint::kFile},
      {.long_name = "force",
       .short_name = 'f',
       .help = "force re-reading the source files/directories (overrides the \"parent\" flag)",
       .target = &options.force},
      {.long_name = "group-by",
       .short_name = 'g',
       .value_name = "group",
       .help = "what a parent snapshot must have in common: host, paths and/or tags, separated by "
               "comma (disable with '')",
       .target = &options.group_by,
       .default_text = "host,paths"},
      {.long_name = "host",
       .short_name = 'H',
       .value_name = "hostname",
       .help = "set the hostname for the snapshot manually",
       .target = &options.host,
       .environment = "HOST"},
      {.long_name = "iexclude",
       .value_name = "pattern",
       .help = "same as --exclude pattern but ignores the casing of filenames",
       .target = &options.iexcludes},
      {.long_name = "iexclude-file",
       .value_name = "file",
       .help = "same as --exclude-file but ignores casing of filenames in patterns",
       .target = &options.iexclude_files,
       .hint = ValueHint::kFile},
      {.long_name = "ignore-ctime",
       .help = "ignore ctime changes when checking for modified files",
       .target = &options.ignore_ctime},
      {.long_name = "ignore-inode",
       .help = "ignore inode number and ctime changes when checking for modified files",
       .target = &options.ignore_inode},
      {.long_name = "keep",
       .value_name = "duration",
       .help = "forget leaves it alone for so long: \"7d\", \"1y6m\" or \"forever\"",
       .target = &options.keep},
      {.long_name = "label",
       .value_name = "name",
       .help = "a name for this snapshot, by which it can be restored (tag salvor:label=<name>)",
       .target = &options.label},
      {.long_name = "no-scan",
       .help = "accepted for restic's scripts; Salvor estimates the size from the parent snapshot",
       .target = &options.no_scan},
      {.long_name = "one-file-system",
       .short_name = 'x',
       .help = "exclude other file systems, don't cross filesystem boundaries and subvolumes",
       .target = &options.one_file_system},
      {.long_name = "parent",
       .value_name = "snapshot",
       .help = "use this parent snapshot (default: latest snapshot in the group determined by "
               "--group-by and not newer than the timestamp determined by --time)",
       .target = &options.parent},
      {.long_name = "read-concurrency",
       .value_name = "n",
       .help = "read n files concurrently, at most 64",
       .target = &options.read_concurrency,
       .environment = "READ_CONCURRENCY",
       .default_text = "2"},
      {.long_name = "skip-if-unchanged",
       .help = "skip snapshot creation if identical to parent snapshot",
       .target = &options.skip_if_unchanged},
      {.long_name = "stdin", .help = "read backup from stdin", .target = &options.stdin_data},
      {.long_name = "stdin-filename",
       .value_name = "filename",
       .help = "filename to use when reading from stdin",
       .target = &options.stdin_filename,
       .default_text = "\"stdin\""},
      {.long_name = "stdin-from-command",
       .help = "interpret arguments as command to execute and store its stdout; if it fails, no "
               "snapshot is made",
       .target = &options.stdin_from_command},
      {.long_name = "tag",
       .value_name = "tags",
       .help = "add tags for the new snapshot in the format tag[,tag,...]",
       .target = &options.tags},
      {.long_name = "time",
       .value_name = "time",
       .help = "time of the backup (ex. '2012-11-01 22:08:41')",
       .target = &options.time,
       .default_text = "now"},
      {.long_name = "with-atime",
       .help = "store the atime for all files and directories",
       .target = &options.with_atime},
      {.long_name = "source",
       .value_name = "name",
       .help = "a source of the configuration instead of paths; may be repeated",
       .target = &options.sources},
      {.long_name = "all", .help = "all sources of the configuration", .target = &options.all},
  };
}

}  // namespace

CommandSpec backup_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "backup",
      .summary = "Create a new backup of files and/or directories",
      .description =
          "Makes a new snapshot of the files and directories named. What the repository already "
          "holds is not stored again, and files that have not changed since the last snapshot are "
          "not even read.\n\n"
          "Everything is verified before it is uploaded: each blob is decrypted, decompressed and "
          "hashed again. An interrupted backup loses nothing that was uploaded: run it again. "
          "Files that cannot be read, vanish, or change while they are read are reported and "
          "counted; the snapshot is made without them (changed ones as they were read) and the "
          "exit status is 3.\n\n"
          "Where there is a configuration (salvor.yaml) and no repository is named, a single word "
          "without a '/' is one of its sources: `salvor backup db`. A path of that name is written "
          "./db.",
      .positionals = {{.name = "FILE/DIR",
                       .target = &options->targets,
                       .help = "what to back up; with --stdin-from-command, the command",
                       .minimum = 0,
                       .maximum = kUnlimited,
                       .hint = ValueHint::kFile}},
      .options = option_table(*options),
      .examples = {{"salvor backup ~/work --exclude '*.o'", "A directory, without object files"},
                   {"salvor backup --tag pre-migration --stdin-from-command "
                    "--stdin-filename shop.sql -- pg_dump shop",
                    "The output of a command; if it fails there is no snapshot"},
                   {"salvor backup db --label pre-migration --keep 7d",
                    "A source of the configuration, to be restored by its label"},
                   {"find . -name '*.conf' -print0 | salvor backup --files-from-raw -",
                    "A list of files"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes,
          {{3, "some source data could not be read (incomplete snapshot created)"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, configuration_option_table(options->configuration));
  return command;
}

}  // namespace salvor::cli
