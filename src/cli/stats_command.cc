#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository_access.h"
#include "cli/snapshot_options.h"
#include "engine/stats.h"

namespace salvor::cli {

namespace {

struct Options {
  std::vector<std::string> ids;
  FilterOptions filter;
  std::string mode = "restore-size";
};

StatsMode mode_of(const std::string& name) {
  if (name == "files-by-contents") {
    return StatsMode::kFilesByContents;
  }
  if (name == "blobs-per-file") {
    return StatsMode::kBlobsPerFile;
  }
  return name == "raw-data" ? StatsMode::kRawData : StatsMode::kRestoreSize;
}

double ratio(uint64_t part, uint64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

bool shows_compression(const Stats& stats, StatsMode mode, unsigned version) {
  return mode == StatsMode::kRawData && version >= 2 && stats.uncompressed_bytes > 0;
}

void print_json(Session& session, const Stats& stats, StatsMode mode, unsigned version) {
  JsonWriter json;
  json.begin_object().field("total_size", stats.size_bytes);
  if (shows_compression(stats, mode, version)) {
    json.field("total_uncompressed_size", stats.uncompressed_bytes);
    if (stats.compressed_blobs_bytes > 0) {
      json.field("compression_ratio",
                 ratio(stats.compressed_blobs_uncompressed_bytes, stats.compressed_blobs_bytes));
    }
    json.field("compression_progress",
               100 * ratio(stats.compressed_blobs_uncompressed_bytes, stats.uncompressed_bytes));
    json.field("compression_space_saving",
               100 * (1 - ratio(stats.size_bytes, stats.uncompressed_bytes)));
  }
  if (stats.blobs > 0) {
    json.field("total_blob_count", stats.blobs);
  }
  json.field("total_file_count", stats.files);
  session.terminal.print_json(json.field("snapshots_count", stats.snapshots).end_object());
}

void print_text(Session& session, const Stats& stats, const Options& options, unsigned version) {
  const StatsMode mode = mode_of(options.mode);
  const auto line = [&](std::string_view name, const std::string& value) {
    session.terminal.print_line(fmt::format("{:>24}:  {}", name, value));
  };
  session.terminal.print_line("Stats in " + options.mode + " mode:");
  line("Snapshots processed", std::to_string(stats.snapshots));
  if (stats.blobs > 0) {
    line("Total Blob Count", std::to_string(stats.blobs));
  }
  if (stats.files > 0) {
    line("Total File Count", std::to_string(stats.files));
  }
  if (shows_compression(stats, mode, version)) {
    line("Total Uncompressed Size", format_bytes(stats.uncompressed_bytes));
  }
  line("Total Size", format_bytes(stats.size_bytes));
  if (shows_compression(stats, mode, version)) {
    line("Compression Progress",
         fmt::format("{:.2f}%", 100 * ratio(stats.compressed_blobs_uncompressed_bytes,
                                            stats.uncompressed_bytes)));
    if (stats.compressed_blobs_bytes > 0) {
      line("Compression Ratio",
           fmt::format("{:.2f}x", ratio(stats.compressed_blobs_uncompressed_bytes,
                                        stats.compressed_blobs_bytes)));
    }
    line("Compression Space Saving",
         fmt::format("{:.2f}%", 100 * (1 - ratio(stats.size_bytes, stats.uncompressed_bytes))));
  }
}

int run(const Options& options, Session& session) {
  const OpenedRepository opened = open_repository(session);
  const SnapshotSelection selection =
      select_snapshots(opened.context, *opened.repository, options.ids, options.filter.filter());
  report_ignored(session, selection);
  opened.repository->load_index(opened.context);
  const Stats stats =
      count_stats(opened.context, *opened.repository, selection.snapshots, mode_of(options.mode));
  const unsigned version = opened.repository->config().version;
  if (session.terminal.json()) {
    print_json(session, stats, mode_of(options.mode), version);
  } else {
    print_text(session, stats, options, version);
  }
  return 0;
}

}  // namespace

CommandSpec stats_command() {
  auto options = std::make_shared<Options>();
  CommandSpec command{
      .name = "stats",
      .summary = "Scan the repository and show basic statistics",
      .description =
          "Counts what one or more snapshots hold; all of them when none is named.\n\n"
          "restore-size: what a restore would write. files-by-contents: the same, but files of the "
          "same content once. blobs-per-file: blobs that files refer to, once a path. raw-data: "
          "what the repository stores for them, compressed and deduplicated.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "snapshots to count",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "mode",
                   .value_name = "mode",
                   .help = "counting mode",
                   .target = &options->mode,
                   .choices = {"restore-size", "files-by-contents", "blobs-per-file", "raw-data"},
                   .default_text = "restore-size"}},
      .examples = {{"salvor stats --mode raw-data", "How much the repository stores"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
