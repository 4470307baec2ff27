#include "cli/stores/files_store.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format.h"
#include "cli/output/backup_report.h"
#include "cli/stores/files_sandbox.h"
#include "cli/stores/set_aside.h"
#include "connector/files/files_source.h"
#include "engine/restore/restorer.h"
#include "engine/snapshots/snapshot_labels.h"
#include "net/subprocess.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kOutputLimit = 300;

bool occupied(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  return fs::exists(status) && !(fs::is_directory(status) && fs::is_empty(path, error));
}

// What a dry restore says of a directory that should be what the snapshot is.
class Comparison final : public EventSink {
 public:
  explicit Comparison(EventSink& outer) : outer_(outer) {}
  void on(const Event& event) override {
    if (const auto* item = std::get_if<ItemHandled>(&event)) {
      const std::scoped_lock lock(mutex_);
      const bool file = item->type == "file";
      if (item->action == "deleted" || (file && item->action != "unchanged")) {
        ++different_;
        if (first_.empty()) {
          first_ = item->item + (item->action == "deleted"    ? " should not be there"
                                 : item->action == "restored" ? " is gone"
                                                              : " has another content");
        }
      }
      same_ += file && item->action == "unchanged" ? 1 : 0;
    } else {
      outer_.on(event);
    }
  }
  [[nodiscard]] bool wants_items() const override { return true; }
  [[nodiscard]] uint64_t same() const { return same_; }
  [[nodiscard]] std::string text() const {
    return different_ == 0 ? std::string()
           : different_ == 1
               ? "1 file differs: " + printable(first_)
               : fmt::format("{} files differ, the first: {}", different_, printable(first_));
  }

 private:
  EventSink& outer_;
  std::mutex mutex_;
  uint64_t same_ = 0;
  uint64_t different_ = 0;
  std::string first_;
};

class FilesStore final : public Store {
 public:
  FilesStore(const StoreSite& site, const SourceSpec& source) : site_(site), source_(source) {}

  [[nodiscard]] const SourceSpec& spec() const override { return source_; }
  [[nodiscard]] TextMap outputs() const override;
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override;
  [[nodiscard]] RunRecord back_up(const Context& context, const BackupOrder& order) override;
  [[nodiscard]] std::vector<RecoveryRange> ranges(const Context& context) override;
  [[nodiscard]] RestoreOutcome restore(const Context& context, const RestoreOrder& order) override;
  [[nodiscard]] std::string would_destroy(const Context& context,
                                          const RestoreOrder& order) override;
  void put_back(const Context& context, const RestoreOutcome& outcome,
                const RestoreOrder& order) override;
  void discard_old(const Context& context, const RestoreOutcome& outcome) override;
  [[nodiscard]] std::unique_ptr<SandboxedStore> open_sandbox(const Context& context,
                                                             const SandboxSpec& sandbox,
                                                             const RestoreOrder& order) override {
    return open_files_sandbox(site_, context, source_, sandbox, order);
  }
  [[nodiscard]] std::vector<ProbeResult> probe(const Context& context) override;

 private:
  [[nodiscard]] std::vector<std::string> places(const RestoreOrder& order) const;
  [[nodiscard]] std::string directory() const;
  void fill(const Context& context, Repository& repository, const StoredSnapshot& snapshot,
            const RestoreOrder& order, bool in_place, RestoreOutcome& outcome) const;

  const StoreSite& site_;
  const SourceSpec& source_;
};

// The folder that holds all of the source.
std::string FilesStore::directory() const {
  const std::vector<std::string> paths = source_paths(site_, source_);
  return paths.size() == 1 && fs::is_directory(paths.front()) ? paths.front() : "/";
}

TextMap FilesStore::outputs() const {
  return {{"directory", directory()}};
}

std::vector<CheckResult> FilesStore::check(const Context& context) {
  std::vector<CheckResult> checks;
  for (const std::string& assertion : source_.assertions) {
    checks.push_back(run_assertion(context, assertion, directory()));
  }
  return checks;
}

RunRecord FilesStore::back_up(const Context& context, const BackupOrder& order) {
  RunRecord record = begin_record(site_, context, RunKind::kBackup, source_);
  FilesOptions files;
  files.targets = source_paths(site_, source_);
  files.excludes = source_.settings.list("exclude");
  files.exclude_caches = source_.settings.flag("exclude-caches", false);
  files.one_file_system = source_.settings.flag("one-file-system", false);
  files.defer_extended_attributes = true;
  SourceRepository at(
      site_, context, source_,
      {.lock = order.dry_run ? LockMode::kNone : LockMode::kShared, .no_lock = NoLock::kIgnored});
  Repository& repository = at.repository();
  repository.load_index(at.context());
  BackupOptions backup = backup_options(site_, at.session(), source_, order);
  backup.excludes = files.excludes;
  backup.detection.attributes_deferred = true;
  backup.write.confirm_lock = [&at](const Context& under) { at.opened().confirm_lock(under); };
  record.captured = backup.time.wall();
  FilesSource source(std::move(files));
  if (!order.full) {
    backup.parent = find_parent(at.context(), repository, backup, source.paths(),
                                {.same_host = true, .same_paths = true, .same_tags = false});
  }
  Archiver archiver(repository);
  std::optional<BackupReport> report;
  if (site_.report) {
    report.emplace(at.session(), order.dry_run);
    report->parent(backup.parent, !order.full);
    report->begin(archiver.progress(), backup.parent);
  }
  const BackupResult result = run_under_lock(
      at.session(), at.opened(), [&] { return archiver.run(at.context(), source, backup); });
  if (report) {
    report->end(result);
  }
  if (!order.dry_run) {
    finish_backup(at.context(), repository, result, record);
  } else {
    record.outcome = RunOutcome::kSucceeded;
    record.finished = context.clock.now();
  }
  record.facts.emplace_back("host", backup.hostname);
  return record;
}

std::vector<RecoveryRange> FilesStore::ranges(const Context& context) {
  const auto at = open_reader(site_, context, source_);
  return snapshot_ranges(files_snapshots(site_, context, at->repository(), source_), captured_at);
}

// What the restore puts something into.
std::vector<std::string> FilesStore::places(const RestoreOrder& order) const {
  if (order.target.has("directory")) {
    return {order.target.text("directory")};
  }
  return order.selection.empty() ? source_paths(site_, source_) : order.selection;
}

std::string FilesStore::would_destroy(const Context&, const RestoreOrder& order) {
  std::string text;
  for (const std::string& place : places(order)) {
    if (occupied(place)) {
      text += (text.empty() ? "" : "; ") +
              (order.old_data == OldData::kMoveAside
                   ? "what is in " + printable(place) + " is replaced (and kept beside it)"
                   : "what is in " + printable(place) + " and not in the backup is lost");
    }
  }
  return text;
}

void FilesStore::fill(const Context& context, Repository& repository,
                      const StoredSnapshot& snapshot, const RestoreOrder& order, bool in_place,
                      RestoreOutcome& outcome) const {
  RestoreOptions options;
  const bool elsewhere = order.target.has("directory");
  options.target = elsewhere ? order.target.text("directory") : "/";
  std::vector<std::string> includes;
  for (const std::string& path :
       order.selection.empty() ? (elsewhere ? std::vector<std::string>{} : snapshot.snapshot.paths)
                               : order.selection) {
    includes.push_back(literal_pattern(path));
  }
  options.selection.includes = PathPatterns(includes);
  options.delete_unexpected = in_place;
  options.ownership_by_name = ::geteuid() == 0;
  options.verify = true;
  options.dry_run = order.dry_run;
  if (!elsewhere && includes.empty()) {
    throw Error(ErrorCode::kDamaged, "the snapshot does not say which paths it holds");
  }
  Restorer restorer(repository);
  const RestoreProgress& progress = restorer.progress();
  if (order.on_bytes) {
    order.on_bytes(
        0, snapshot.snapshot.summary ? snapshot.snapshot.summary->total_bytes_processed : 0);
  }
  const RestoreResult done = restorer.run(context, snapshot.snapshot.tree, options);
  outcome.restored_bytes = progress.bytes_restored;
  outcome.written_bytes = progress.bytes_written;
  if (order.on_bytes) {
    order.on_bytes(outcome.restored_bytes, outcome.restored_bytes);
  }
  // Where nothing was restored there was nothing to look into either.
  if (progress.files_restored > 0) {
    outcome.checks.push_back({.name = "files verified",
                              .passed = done.errors == 0,
                              .value = fmt::format("{} of {} files read again, {} failed",
                                                   progress.files_verified.load(),
                                                   progress.files_restored.load(), done.errors),
                              .expected = {},
                              .seconds = 0});
  }
  if (done.errors > 0) {
    throw Error(ErrorCode::kIncomplete, fmt::format("{} items could not be restored", done.errors),
                "They are named above.");
  }
}

RestoreOutcome FilesStore::restore(const Context& context, const RestoreOrder& order) {
  const auto tell = [&order](const std::string& text) {
    if (order.on_step) {
      order.on_step(text);
    }
  };
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const std::vector<StoredSnapshot> snapshots =
      files_snapshots(site_, at.context(), at.repository(), source_);
  const StoredSnapshot& snapshot =
      choose_snapshot(snapshots, order.moment, order.base, captured_at, source_.name);
  at.repository().load_index(at.context());
  RestoreOutcome outcome;
  outcome.snapshot = snapshot.id.hex();
  outcome.reached = captured_at(snapshot);
  const RestoreNote note(site_.application.state_directory, order.key, context.clock.now());
  std::vector<MovedData> moved;
  for (const std::string& place : places(order)) {
    const std::string kept = place + ".before-" + note.suffix();
    if (order.old_data == OldData::kMoveAside &&
        (occupied(place) || (note.resumed() && occupied(kept)))) {
      moved.push_back({place, kept});
    } else if (order.old_data == OldData::kRefuse && occupied(place)) {
      throw Error(ErrorCode::kUsage, printable(place) + " is not empty",
                  "Restore elsewhere (--target), or let the old data be moved aside.");
    }
  }
  if (!order.dry_run && !moved.empty()) {
    note.begin();
    for (const MovedData& one : moved) {
      if (!occupied(one.kept)) {
        rename_durably(one.place, one.kept);
        tell("moved " + printable(one.place) + " to " + printable(one.kept));
      }
    }
  }
  tell("restoring snapshot " + snapshot.id.short_hex());
  try {
    fill(at.context(), at.repository(), snapshot, order,
         order.old_data == OldData::kOverwrite || note.resumed(), outcome);
  } catch (Error& error) {
    if (error.code() == ErrorCode::kCancelled || order.dry_run || moved.empty()) {
      throw;
    }
    put_moved_back(moved);
    note.end();
    throw Error(error.code(), error.message(),
                "The old data is back in its place. " + error.hint());
  }
  if (!order.dry_run) {
    add_moved(outcome.facts, moved);
    outcome.old_data = moved.empty() ? "" : moved.front().kept;
    note.end();
  }
  return outcome;
}

void FilesStore::put_back(const Context&, const RestoreOutcome& outcome, const RestoreOrder&) {
  put_moved_back(moved_in(outcome.facts));
}

void FilesStore::discard_old(const Context&, const RestoreOutcome& outcome) {
  discard_moved(moved_in(outcome.facts));
}

std::vector<ProbeResult> FilesStore::probe(const Context& context) {
  std::vector<ProbeResult> results = probe_repository(site_, context, source_);
  for (const std::string& path : source_paths(site_, source_)) {
    const bool readable = ::access(path.c_str(), R_OK) == 0;
    results.push_back({.name = "path " + path,
                       .ok = readable,
                       .fatal = errno == ENOENT && !readable,
                       .found = readable ? "readable" : std::generic_category().message(errno),
                       .hint = readable ? "" : "Without it the backup is incomplete."});
  }
  return results;
}

}  // namespace

std::unique_ptr<Store> make_files_store(const StoreSite& site, const SourceSpec& source) {
  return std::make_unique<FilesStore>(site, source);
}

std::string compare_files(const Context& context, Repository& repository, const BlobId& tree,
                          const std::string& target, const std::vector<std::string>& paths,
                          uint64_t& files) {
  RestoreOptions options;
  options.target = target;
  std::vector<std::string> includes;
  for (const std::string& path : paths) {
    includes.push_back(literal_pattern(path));
  }
  options.selection.includes = PathPatterns(includes);
  options.delete_unexpected = true;
  options.dry_run = true;
  Comparison comparison(context.events);
  const Context compared{context.stop, comparison, context.clock, context.random, context.profile};
  Restorer restorer(repository);
  const RestoreResult result = restorer.run(compared, tree, options);
  files = comparison.same();
  return result.errors > 0 ? fmt::format("{} items could not be compared", result.errors)
                           : comparison.text();
}

CheckResult run_assertion(const Context& context, const std::string& command,
                          const std::string& directory) {
  return checked(context, command, [&]() -> std::string {
    Subprocess shell({.arguments = {"sh", "-c", "cd \"$SALVOR_DIRECTORY\" && { eval \"$1\"; } 2>&1",
                                    "sh", command},
                      .environment = {"SALVOR_DIRECTORY=" + directory}});
    std::string output;
    std::string piece(4096, '\0');
    while (const size_t got = shell.read(std::as_writable_bytes(std::span(piece)))) {
      output.append(piece, 0, output.size() < kOutputLimit ? got : 0);
    }
    const ExitState ended = shell.wait();
    std::replace(output.begin(), output.end(), '\n', ' ');
    output = printable(output.substr(0, kOutputLimit));
    if (!ended.success()) {
      throw Error(ErrorCode::kFailed, ended.text() + (output.empty() ? "" : ": " + output));
    }
    return output.empty() ? "true" : output;
  });
}

std::string literal_pattern(const std::string& path) {
  std::string pattern;
  for (const char c : path) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += c;
  }
  return pattern;
}

}  // namespace salvor::cli
