#include <array>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/snapshots/capacity.h"
#include "engine/snapshots/stats.h"

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

struct Capacity {
  std::string location;
  size_t snapshots = 0;
  std::array<KindSize, 7> sizes;
  uint64_t size_bytes = 0;
  Growth growth;
  std::optional<StorageSpace> space;
  std::optional<double> days;
};

void number_or_null(JsonWriter& json, std::string_view name, const std::optional<double>& number) {
  json.key(name);
  if (number) {
    json.value(*number);
  } else {
    json.null();
  }
}

void print_json(Session& session, const Capacity& capacity) {
  JsonWriter json;
  json.begin_message("capacity").field("repository", capacity.location);
  json.field("snapshots_count", capacity.snapshots).field("size_bytes", capacity.size_bytes);
  json.key("objects").begin_object();
  for (const KindSize& size : capacity.sizes) {
    json.key(object_kind_name(size.kind)).begin_object();
    json.field("count", size.objects).field("bytes", size.bytes).end_object();
  }
  json.end_object();
  json.field("growth_window_days", capacity.growth.days);
  json.field("added_bytes", capacity.growth.added_bytes);
  json.field("snapshots_without_size", capacity.growth.snapshots_without_size);
  number_or_null(json, "growth_bytes_per_day", capacity.growth.bytes_per_day());
  json.key("free_bytes");
  capacity.space ? json.value(capacity.space->free_bytes) : json.null();
  json.key("total_bytes");
  capacity.space ? json.value(capacity.space->total_bytes) : json.null();
  number_or_null(json, "days_until_full", capacity.days);
  json.key("requests").begin_object();
  for (size_t kind = 0; kind < kRequestKinds; ++kind) {
    const auto request = static_cast<RequestKind>(kind);
    json.field(request_kind_name(request), session.requests.of(request));
  }
  json.end_object();
  json.field("bytes_sent", session.requests.bytes_sent.load());
  json.field("bytes_received", session.requests.bytes_received.load());
  session.terminal.print_json(json.end_object());
}

void print_text(Session& session, const Capacity& capacity) {
  const auto line = [&](std::string_view name, const std::string& value) {
    session.terminal.print_line(fmt::format("{:>24}:  {}", name, value));
  };
  line("Snapshots", std::to_string(capacity.snapshots));
  line("Size", format_bytes(capacity.size_bytes));
  const auto daily = capacity.growth.bytes_per_day();
  line("Growth",
       daily ? fmt::format("{} a day over {:.0f} days", format_bytes(static_cast<uint64_t>(*daily)),
                           capacity.growth.days)
             : "not known before there are backups of more than a day");
  if (capacity.growth.snapshots_without_size > 0) {
    line("", fmt::format("without {} snapshots that do not say what they added",
                         capacity.growth.snapshots_without_size));
  }
  line("Free space", capacity.space
                         ? fmt::format("{} of {}", format_bytes(capacity.space->free_bytes),
                                       format_bytes(capacity.space->total_bytes))
                         : "not known to this kind of storage");
  if (capacity.days) {
    line("Full in", fmt::format("{:.0f} days", *capacity.days));
  }
  std::string requests;
  for (size_t kind = 0; kind < kRequestKinds; ++kind) {
    const auto request = static_cast<RequestKind>(kind);
    requests += fmt::format("{}{} {}", requests.empty() ? "" : ", ", session.requests.of(request),
                            request_kind_name(request));
  }
  line("Requests of this run", requests);
}

int run_capacity(Session& session, const OpenedRepository& opened) {
  const Context& context = opened.context;
  Storage& storage = opened.repository->storage();
  std::vector<UnreadableObject> unreadable;
  const auto snapshots = opened.repository->load_snapshots(context, &unreadable);
  report_unreadable(session, unreadable);
  Capacity capacity{.location = opened.location,
                    .snapshots = snapshots.size(),
                    .sizes = measure_size(context, storage),
                    .growth = growth_of(snapshots, context.clock.now()),
                    .space = storage.space(context)};
  for (const KindSize& size : capacity.sizes) {
    capacity.size_bytes += size.bytes;
  }
  capacity.days = days_until_full(capacity.space, capacity.growth);
  if (session.terminal.json()) {
    print_json(session, capacity);
  } else {
    print_text(session, capacity);
  }
  return session.events.errors() > 0 ? exit_status(ErrorCode::kIncomplete) : 0;
}

int run(const Options& options, Session& session) {
  if (options.mode == "capacity" && (!options.ids.empty() || !options.filter.filter().empty())) {
    throw Error(ErrorCode::kUsage, "--mode capacity is about the whole repository",
                "Leave out the snapshots and filters.");
  }
  const OpenedRepository opened = open_repository(session);
  if (options.mode == "capacity") {
    return run_capacity(session, opened);
  }
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
          "what the repository stores for them, compressed and deduplicated.\n\n"
          "capacity: how large the repository is, how much the backups of the last 30 days added a "
          "day, how much space is free (local directories and SFTP servers say so), when it will "
          "be full at that pace, and what this run asked of the storage. Reads no file data.",
      .positionals = {{.name = "snapshotID",
                       .target = &options->ids,
                       .help = "snapshots to count",
                       .maximum = kUnlimited}},
      .options = {{.long_name = "mode",
                   .value_name = "mode",
                   .help = "counting mode",
                   .target = &options->mode,
                   .choices = {"restore-size", "files-by-contents", "blobs-per-file", "raw-data",
                               "capacity"},
                   .default_text = "restore-size"}},
      .examples = {{"salvor stats --mode raw-data", "How much the repository stores"},
                   {"salvor stats --mode capacity --json", "For monitoring: when it will be full"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
  add_options(command.options, filter_option_table(options->filter));
  return command;
}

}  // namespace salvor::cli
