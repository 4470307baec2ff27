#include "cli/output/backup_report.h"

#include <fmt/format.h>

#include "base/format.h"

namespace salvor::cli {
namespace {

struct Totals {
  std::optional<uint64_t> files;
  std::optional<uint64_t> bytes;
};

Totals totals_of(const std::optional<StoredSnapshot>& parent) {
  if (!parent || !parent->snapshot.summary) {
    return {};
  }
  return {parent->snapshot.summary->total_files_processed,
          parent->snapshot.summary->total_bytes_processed};
}

ProgressNumbers numbers_of(const BackupProgress& progress, const Totals& totals) {
  ProgressNumbers numbers;
  numbers.bytes_done = progress.bytes_done;
  numbers.files_done = progress.files_done();
  numbers.errors = progress.errors;
  // A total that has been passed was a bad guess: show none.
  if (totals.bytes && *totals.bytes >= numbers.bytes_done) {
    numbers.bytes_total = totals.bytes;
    numbers.files_total = totals.files;
  }
  return numbers;
}

JsonWriter status_json(const ProgressNumbers& numbers, std::chrono::nanoseconds elapsed) {
  JsonWriter json;
  json.begin_message("status");
  json.field("seconds_elapsed", std::chrono::duration_cast<std::chrono::seconds>(elapsed).count());
  const uint64_t total = numbers.bytes_total.value_or(0);
  const double share =
      total == 0 ? 0.0 : static_cast<double>(numbers.bytes_done) / static_cast<double>(total);
  json.field("percent_done", share);
  if (numbers.files_total) {
    json.field("total_files", *numbers.files_total);
  }
  json.field("files_done", numbers.files_done.value_or(0));
  if (numbers.bytes_total) {
    json.field("total_bytes", *numbers.bytes_total);
  }
  json.field("bytes_done", numbers.bytes_done);
  if (numbers.errors > 0) {
    json.field("error_count", numbers.errors);
  }
  json.end_object();
  return json;
}

}  // namespace

BackupReport::BackupReport(Session& session, bool dry_run)
    : session_(session), dry_run_(dry_run), start_(session.context.clock.monotonic()) {}

void BackupReport::parent(const std::optional<StoredSnapshot>& parent, bool expected) {
  if (parent) {
    session_.terminal.message("using parent snapshot " + parent->id.short_hex());
  } else if (expected) {
    session_.terminal.message("no parent snapshot found, will read all files");
  }
}

void BackupReport::begin(const BackupProgress& progress,
                         const std::optional<StoredSnapshot>& parent) {
  const Totals totals = totals_of(parent);
  const Clock& clock = session_.context.clock;
  ProgressSource source;
  source.numbers = [&progress, totals] { return numbers_of(progress, totals); };
  source.status_json = [&progress, totals, &clock, start = start_] {
    return status_json(numbers_of(progress, totals), clock.monotonic() - start);
  };
  display_ =
      std::make_unique<Progress>(session_.terminal, session_.environment, clock, std::move(source));
}

void BackupReport::begin(const BackupProgress& progress,
                         std::function<uint64_t()> estimated_bytes) {
  const Clock& clock = session_.context.clock;
  const auto numbers = [&progress, estimated_bytes = std::move(estimated_bytes)] {
    const uint64_t bytes = estimated_bytes();
    return numbers_of(progress, {std::nullopt, bytes > 0 ? std::optional(bytes) : std::nullopt});
  };
  ProgressSource source;
  source.numbers = numbers;
  source.status_json = [numbers, &clock, start = start_] {
    return status_json(numbers(), clock.monotonic() - start);
  };
  display_ =
      std::make_unique<Progress>(session_.terminal, session_.environment, clock, std::move(source));
}

void BackupReport::end(const BackupResult& result) {
  display_.reset();
  if (session_.terminal.json()) {
    print_json(result);
  } else {
    print_text(result);
  }
}

void BackupReport::print_text(const BackupResult& result) const {
  const SnapshotSummary& sum = result.summary;
  Terminal& out = session_.terminal;
  out.print_summary("");
  out.print_summary(fmt::format("Files:       {:5} new, {:5} changed, {:5} unmodified",
                                sum.files_new, sum.files_changed, sum.files_unmodified));
  out.print_summary(fmt::format("Dirs:        {:5} new, {:5} changed, {:5} unmodified",
                                sum.dirs_new, sum.dirs_changed, sum.dirs_unmodified));
  out.print_summary(fmt::format("{} to the repository: {} ({} stored)",
                                dry_run_ ? "Would add" : "Added", format_bytes(sum.data_added),
                                format_bytes(sum.data_added_packed)));
  out.print_summary("");
  out.print_summary(fmt::format("processed {} files, {} in {}", sum.total_files_processed,
                                format_bytes(sum.total_bytes_processed),
                                format_duration(session_.context.clock.monotonic() - start_)));
  if (result.snapshot) {
    out.print_summary("snapshot " + result.snapshot->short_hex() + " saved");
  } else if (result.unchanged) {
    out.print_summary("skipped creating snapshot: nothing has changed since the parent");
  }
  if (result.errors > 0) {
    out.warn(
        fmt::format("{} item(s) could not be read or changed while they were read", result.errors),
        "They are named above. The snapshot holds everything else; exit status 3 says so to "
        "scripts.");
  }
}

void BackupReport::print_json(const BackupResult& result) const {
  const SnapshotSummary& sum = result.summary;
  JsonWriter json;
  json.begin_message("summary");
  if (dry_run_) {
    json.field("dry_run", true);
  }
  json.field("files_new", sum.files_new)
      .field("files_changed", sum.files_changed)
      .field("files_unmodified", sum.files_unmodified)
      .field("dirs_new", sum.dirs_new)
      .field("dirs_changed", sum.dirs_changed)
      .field("dirs_unmodified", sum.dirs_unmodified)
      .field("data_blobs", sum.data_blobs)
      .field("tree_blobs", sum.tree_blobs)
      .field("data_added", sum.data_added)
      .field("data_added_packed", sum.data_added_packed)
      .field("total_files_processed", sum.total_files_processed)
      .field("total_bytes_processed", sum.total_bytes_processed);
  const std::chrono::duration<double> elapsed = session_.context.clock.monotonic() - start_;
  json.field("total_duration", elapsed.count())
      .field("backup_start", sum.backup_start)
      .field("backup_end", sum.backup_end);
  if (result.snapshot) {
    json.field("snapshot_id", result.snapshot->hex());
  }
  json.field("error_count", result.errors);
  session_.terminal.print_json(json.end_object());
}

}  // namespace salvor::cli
