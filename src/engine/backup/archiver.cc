#include "engine/backup/archiver.h"

#include <algorithm>
#include <thread>

#include "engine/backup/file_saver.h"
#include "engine/backup/writer_pool.h"

namespace salvor {
namespace {

unsigned cpu_threads(const BackupOptions& options) {
  return options.cpu_threads > 0 ? options.cpu_threads
                                 : std::max(1U, std::thread::hardware_concurrency());
}

bool contains_all(const std::vector<std::string>& all, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& item) {
    return std::find(all.begin(), all.end(), item) != all.end();
  });
}

// "salvor" of "salvor 1.2".
std::string_view program_of(std::string_view version) {
  return version.substr(0, version.find(' '));
}

ChangeDetection change_detection(const BackupOptions& options) {
  ChangeDetection detection = options.detection;
  if (options.parent) {
    const Snapshot& parent = options.parent->snapshot;
    detection.parent_marks_incomplete =
        program_of(parent.program_version) == program_of(options.program_version) &&
        parent.uid == options.uid;
  }
  return detection;
}

}  // namespace

BackupResult Archiver::run(const Context& context, Source& source, const BackupOptions& options) {
  const WallTime start = context.clock.now();
  WriteSession session(context, repository_, options.write);
  const std::optional<BlobId> tree = store(context, source, session, options);
  if (!tree) {
    throw Error(ErrorCode::kFailed, "the snapshot would be empty",
                "Everything was excluded or could not be read. Check the paths and the exclude "
                "patterns.");
  }
  BackupResult result;
  result.tree = *tree;
  result.errors = progress_.errors;
  if (options.skip_if_unchanged && options.parent && options.parent->snapshot.tree == *tree) {
    session.finish(context);
    result.unchanged = true;
    result.summary = summarize(context, session.counters(), start);
    return result;
  }
  session.finish(context);
  Snapshot snapshot = describe(source, options);
  snapshot.tree = *tree;
  snapshot.summary = summarize(context, session.counters(), start);
  result.summary = *snapshot.summary;
  result.snapshot = session.commit(context, snapshot);
  if (result.snapshot) {
    session.confirm_stored(context, *result.snapshot);
  }
  return result;
}

// Streams the source into trees and blobs. The order of the objects matters: each refers to those
// above it.
std::optional<BlobId> Archiver::store(const Context& context, Source& source, WriteSession& session,
                                      const BackupOptions& options) {
  const ChunkerTables tables{Polynomial(repository_.config().chunker_polynomial)};
  WriterPool writers(session);
  ThreadPool pool("salvor-cpu", cpu_threads(options));
  TaskGroup cpu(pool, context.stop, size_t{16} * pool.size());
  const Context inner = context.with_stop(cpu.stop_token());

  TreeBuilder builder(inner, repository_, writers, cpu, progress_,
                      options.parent ? std::optional(options.parent->snapshot.tree) : std::nullopt,
                      change_detection(options));
  FileSaver saver(inner, tables, writers, cpu, builder, progress_,
                  {options.read_concurrency, options.memory_bytes});
  builder.set_file_saver(saver);
  try {
    source.stream_into(inner, builder);
    saver.finish_reading();
    source.finish(inner);
  } catch (...) {
    // If a worker failed first, its error is the cause and this one ("interrupted") only a
    // consequence.
    cpu.fail(std::current_exception());
  }
  cpu.wait();
  writers.flush();
  return builder.root_tree();
}

Snapshot Archiver::describe(const Source& source, const BackupOptions& options) const {
  Snapshot snapshot;
  snapshot.time = options.time;
  if (options.parent) {
    snapshot.parent = options.parent->id;
  }
  snapshot.paths = source.paths();
  snapshot.hostname = options.hostname;
  snapshot.username = options.username;
  snapshot.uid = options.uid;
  snapshot.gid = options.gid;
  snapshot.excludes = options.excludes;
  snapshot.tags = options.tags;
  for (std::string& tag : source.tags()) {
    snapshot.tags.push_back(std::move(tag));
  }
  snapshot.program_version = options.program_version;
  return snapshot;
}

SnapshotSummary Archiver::summarize(const Context& context, const WriteCounters& counters,
                                    WallTime start) const {
  LocalZone zone;
  SnapshotSummary summary;
  summary.backup_start = zone.stamp(start);
  summary.backup_end = zone.stamp(context.clock.now());
  summary.files_new = progress_.files_new;
  summary.files_changed = progress_.files_changed;
  summary.files_unmodified = progress_.files_unmodified;
  summary.dirs_new = progress_.dirs_new;
  summary.dirs_changed = progress_.dirs_changed;
  summary.dirs_unmodified = progress_.dirs_unmodified;
  summary.data_blobs = counters.data_blobs;
  summary.tree_blobs = counters.tree_blobs;
  summary.data_added = counters.plain_bytes;
  summary.data_added_packed = counters.stored_bytes;
  summary.total_files_processed = progress_.files_done();
  summary.total_bytes_processed = progress_.bytes_done;
  return summary;
}

std::optional<StoredSnapshot> find_parent(const Context& context, const Repository& repository,
                                          const BackupOptions& options,
                                          const std::vector<std::string>& paths,
                                          const ParentRule& rule) {
  std::vector<UnreadableObject> unreadable;
  const std::vector<StoredSnapshot> snapshots = repository.load_snapshots(context, &unreadable);
  for (const UnreadableObject& one : unreadable) {
    context.events.on(Warning{one.reason + ", so that nothing can be compared with it",
                              "`salvor check` says what is affected; `salvor forget " +
                                  one.object.name + "` removes the snapshot."});
  }
  return choose_parent(snapshots, options, paths, rule);
}

std::optional<StoredSnapshot> choose_parent(std::span<const StoredSnapshot> snapshots,
                                            const BackupOptions& options,
                                            const std::vector<std::string>& paths,
                                            const ParentRule& rule) {
  const StoredSnapshot* best = nullptr;
  for (const StoredSnapshot& candidate : snapshots) {
    const Snapshot& snapshot = candidate.snapshot;
    const bool agrees = (!rule.same_host || snapshot.hostname == options.hostname) &&
                        (!rule.same_paths || contains_all(snapshot.paths, paths)) &&
                        (!rule.same_tags || (contains_all(snapshot.tags, options.tags) &&
                                             contains_all(options.tags, snapshot.tags)));
    if (!agrees || options.time.before(snapshot.time)) {
      continue;
    }
    if (best == nullptr || !snapshot.time.before(best->snapshot.time)) {
      best = &candidate;
    }
  }
  return best == nullptr ? std::nullopt : std::optional(*best);
}

}  // namespace salvor
