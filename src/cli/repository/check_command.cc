#include <algorithm>
#include <thread>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/progress.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/maintenance/checker.h"

namespace salvor::cli {
namespace {

struct Options {
  std::vector<std::string> ids;
  bool read_data = false;
  std::string read_data_subset;
  bool with_cache = false;
  bool check_unused = false;
  FilterOptions filter;
};

constexpr size_t kSnapshotsNamed = 10;

ReadSubset subset_of(const Options& options) {
  if (options.read_data && !options.read_data_subset.empty()) {
    throw Error(ErrorCode::kUsage,
                "check flags --read-data and --read-data-subset cannot be used together");
  }
  if (options.read_data) {
    return ReadAll{};
  }
  return options.read_data_subset.empty() ? ReadSubset(ReadNothing{})
                                          : parse_read_subset(options.read_data_subset);
}

ProgressNumbers numbers_of(const CheckProgress& progress) {
  ProgressNumbers numbers;
  if (const uint64_t total = progress.packs_to_read; total > 0) {
    numbers.stage = "reading data";
    numbers.bytes_done = progress.bytes_read;
    numbers.bytes_total = progress.bytes_to_read.load();
    numbers.files_done = progress.packs_read.load();
    numbers.files_total = total;
    numbers.unit = "packs";
  } else {
    numbers.stage = "checking trees";
    numbers.files_done = progress.trees.load();
    numbers.unit = "trees";
  }
  return numbers;
}

std::string snapshots_text(const Finding& finding) {
  std::string text = std::to_string(finding.snapshots.size()) + " snapshot" +
                     (finding.snapshots.size() == 1 ? "" : "s") + ":";
  for (size_t i = 0; i < std::min(finding.snapshots.size(), kSnapshotsNamed); ++i) {
    text += " " + finding.snapshots[i].short_hex();
  }
  return text + (finding.snapshots.size() > kSnapshotsNamed ? " ..." : "");
}

void print_finding(Terminal& terminal, const Finding& finding) {
  if (!finding.is_error()) {
    terminal.message_at(2, finding.object + ": " + finding.what);
    return;
  }
  terminal.raw_error_line("error: " + finding.object + ": " + printable(finding.what));
  if (!finding.snapshots.empty()) {
    terminal.raw_error_line("  hits " + snapshots_text(finding));
    for (const AffectedFile& file : finding.files) {
      terminal.raw_error_line("    " + file.snapshot.short_hex() + ":" + printable(file.path));
    }
    if (finding.file_count > finding.files.size()) {
      terminal.raw_error_line("    and " +
                              std::to_string(finding.file_count - finding.files.size()) + " more");
    }
  }
  terminal.raw_error_line("  HINT: " + finding.advice);
}

// restic's object with "message_type" and "message"; the rest is ours.
void print_finding_json(Terminal& terminal, const Finding& finding) {
  JsonWriter json;
  json.begin_message(finding.is_error() ? "error" : "note");
  json.field("message", printable(finding.object + ": " + finding.what));
  json.field("kind", finding_kind_name(finding.kind)).field("object", finding.object);
  json.field("hint", finding.advice);
  json.key("snapshots").begin_array();
  for (const SnapshotId& id : finding.snapshots) {
    json.value(id.hex());
  }
  json.end_array().key("files").begin_array();
  for (const AffectedFile& file : finding.files) {
    json.begin_object().field("snapshot", file.snapshot.hex()).field("path", file.path);
    json.end_object();
  }
  json.end_array().field("file_count", finding.file_count).end_object();
  terminal.raw_error_line(json.text());
}

void print_summary_json(Terminal& terminal, const CheckReport& report) {
  JsonWriter json;
  json.begin_message("summary").field("num_errors", report.errors).key("broken_packs");
  if (report.broken_packs.empty()) {
    json.null();
  } else {
    json.begin_array();
    for (const PackId& pack : report.broken_packs) {
      json.value(pack.hex());
    }
    json.end_array();
  }
  json.field("suggest_repair_index", report.suggest_repair_index);
  json.field("suggest_prune", report.suggest_prune);
  json.field("snapshots", report.snapshots).field("trees", report.trees);
  json.field("blobs", report.blobs).field("packs", report.packs);
  json.field("packs_read", report.packs_read).field("bytes_read", report.bytes_read);
  json.field("plain_bytes_verified", report.plain_bytes).end_object();
  terminal.print_json(json);
}

void print_summary(Terminal& terminal, const CheckReport& report) {
  if (report.suggest_prune && report.ok()) {
    const auto unlisted =
        std::count_if(report.findings.begin(), report.findings.end(),
                      [](const Finding& f) { return f.kind == FindingKind::kPackUnreferenced; });
    if (unlisted > 0) {
      terminal.print_summary(
          std::to_string(unlisted) +
          " additional files were found in the repo, which likely contain duplicate data.\nThis is "
          "non-critical, you can run `salvor prune` to correct this.");
    }
  }
  terminal.print_summary(std::to_string(report.snapshots) + " snapshots, " +
                         std::to_string(report.trees) + " trees, " + std::to_string(report.blobs) +
                         " blobs in " + std::to_string(report.packs) + " packs");
  if (report.packs_read > 0) {
    terminal.print_summary("read " + std::to_string(report.packs_read) + " packs, " +
                           format_bytes(report.bytes_read) + ", verified " +
                           format_bytes(report.plain_bytes) + " of content");
  }
  if (report.ok()) {
    terminal.print_summary("no errors were found");
  }
}

int run(const Options& options, Session& session) {
  Terminal& terminal = session.terminal;
  CheckProgress progress;
  CheckOptions check;
  check.read = subset_of(options);
  check.threads = std::max(1U, std::thread::hardware_concurrency());
  check.progress = &progress;
  OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kExclusive, .cache = false});
  const SnapshotFilter filter = options.filter.filter();
  if (!options.ids.empty() || !filter.empty()) {
    std::vector<UnreadableObject> unreadable;  // a finding of the check
    const SnapshotSelection selection =
        select_snapshots(opened.context, *opened.repository, options.ids, filter, &unreadable);
    report_ignored(session, selection);
    check.snapshots.emplace();
    for (const StoredSnapshot& stored : selection.snapshots) {
      check.snapshots->push_back(stored.id);
    }
  }
  CheckReport report;
  {
    const Progress shown(terminal, session.environment, session.context.clock,
                         {[&progress] { return numbers_of(progress); }});
    report = Checker(opened.context, *opened.repository, std::move(check)).run();
  }
  for (const Finding& finding : report.findings) {
    terminal.json() ? print_finding_json(terminal, finding) : print_finding(terminal, finding);
  }
  if (terminal.json()) {
    print_summary_json(terminal, report);
    return report.ok() ? 0 : exit_status(ErrorCode::kFailed);
  }
  print_summary(terminal, report);
  if (!report.ok()) {
    throw Error(ErrorCode::kFailed,
                "the repository contains " + std::to_string(report.errors) + " error" +
                    (report.errors == 1 ? "" : "s"),
                "Make a copy of the repository before repairing it, and follow the hints above "
                "from the first on.");
  }
  return 0;
}

}  // namespace

CommandSpec check_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "check",
      .summary = "Check the repository for errors",
      .description =
          "Looks whether the repository is whole: index files, packs, snapshots, every tree, keys "
          "and locks. With --read-data it also reads every pack and verifies each byte; with "
          "--read-data-subset a part of them, so that a check each night covers everything in "
          "time.\n\n"
          "For each error it says which snapshots and files are hit and what to do. Nothing is "
          "changed.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "check only these snapshots and the data they need",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "read-data",
                   .help = "read all data blobs",
                   .target = &options->read_data},
                  {.long_name = "read-data-subset",
                   .value_name = "subset",
                   .help = "read a subset of data packs, specified as 'n/t' for specific part, or "
                           "either 'x%' or 'x.y%' or a size in bytes with suffixes k/K, m/M, g/G, "
                           "t/T for a random subset",
                   .target = &options->read_data_subset},
                  {.long_name = "with-cache",
                   .help = "without effect: check never reads from a cache",
                   .target = &options->with_cache},
                  {.long_name = "check-unused",
                   .help = "without effect",
                   .target = &options->check_unused,
                   .hidden = true}},
      .examples = {{"salvor check", "Structure only; takes seconds"},
                   {"salvor check --read-data", "Every byte"},
                   {"salvor check --read-data-subset 3/7", "The third of seven parts: one a day"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
